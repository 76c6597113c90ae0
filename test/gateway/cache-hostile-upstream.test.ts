import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { pictureOf, type Shared, startCached, thumbnailFields, until } from '../kit/cached.ts';
import { APP, ORG } from '../kit/easemob.ts';
import { type RawRequest, startRawUpstream } from '../kit/raw-upstream.ts';
import { askWire } from '../kit/wire.ts';

/** Times short enough to wait for, and a bound that is soon reached. */
const SET = [
  'upstream.answerTimeoutMs=400',
  'upstream.idleTimeoutMs=400',
  'retry.attempts=2',
  'cache.maxEntryBytes=20000',
  'access.refusalSeconds=0',
];

type Play = (request: RawRequest, mark: Buffer) => void;

const head = (...fields: string[]): string =>
  `HTTP/1.1 200 OK\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const JPEG = 'Content-Type: image/jpeg';
const lengthOf = (body: Uint8Array, more = 0) => `Content-Length: ${body.length + more}`;
const chunk = (body: Uint8Array) =>
  Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);

/** Writes an answer and leaves the connection open. */
const say =
  (answer: (mark: Buffer) => (string | Uint8Array)[]): Play =>
  ({ socket }, mark) => {
    for (const piece of answer(mark)) socket.write(piece);
  };
/** Writes an answer and closes the connection in order. */
const sayAndEnd =
  (answer: (mark: Buffer) => (string | Uint8Array)[]): Play =>
  (request, mark) => {
    say(answer)(request, mark);
    request.socket.end();
  };
/** A whole answer with these fields. */
const whole = (fields: string[], body: (mark: Buffer) => Buffer = (mark) => mark): Play =>
  say((mark) => [head(...fields, lengthOf(body(mark))), body(mark)]);

const beginning = (mark: Buffer) => mark.subarray(0, 700);
const large = (mark: Buffer) => Buffer.concat([mark, Buffer.alloc(30_000, mark)]);

/** Answers of which nothing may be kept. The body of each is a picture made for its bearer alone. */
const HOSTILE: [name: string, status: number, play: Play][] = [
  ['shorter than its length', 502, sayAndEnd((mark) => [head(JPEG, lengthOf(mark, 50)), mark])],
  ['shorter than its length, and no end of it', 504, say((mark) => [head(JPEG, lengthOf(mark, 50)), mark])],
  ['longer than its length', 502, sayAndEnd((mark) => [head(JPEG, lengthOf(mark, -50)), mark])],
  ['without its last chunk', 502, sayAndEnd((mark) => [head(JPEG, 'Transfer-Encoding: chunked'), chunk(mark)])],
  [
    'cut within a chunk',
    502,
    sayAndEnd((mark) => [head(JPEG, 'Transfer-Encoding: chunked'), chunk(mark).subarray(0, 700)]),
  ],
  [
    'in chunks with a broken size',
    502,
    say((mark) => [head(JPEG, 'Transfer-Encoding: chunked'), chunk(mark), 'zz\r\n']),
  ],
  ['without a length, so that nobody can tell whether it is whole', 200, sayAndEnd((mark) => [head(JPEG), mark])],
  ['a reset', 502, ({ socket }) => socket.resetAndDestroy()],
  [
    'a reset in the middle',
    502,
    ({ socket }, mark) =>
      void socket.write(Buffer.concat([Buffer.from(head(JPEG, lengthOf(mark))), beginning(mark)]), () =>
        socket.resetAndDestroy(),
      ),
  ],
  ['silence', 504, () => {}],
  ['garbage', 502, sayAndEnd((mark) => [mark])],
  ['a page', 200, whole(['Content-Type: text/html'])],
  [
    'JSON',
    200,
    whole(['Content-Type: application/json'], (mark) => Buffer.from(JSON.stringify({ mark: mark.toString('hex') }))),
  ],
  ['JavaScript', 200, whole(['Content-Type: text/javascript'])],
  ['no type', 200, whole([])],
  ['a type of no picture', 200, whole(['Content-Type: application/octet-stream'])],
  [
    'JSON that calls itself a picture',
    200,
    whole([JPEG], (mark) => Buffer.from(JSON.stringify({ mark: mark.toString('hex') }))),
  ],
  [
    'a page that calls itself a picture',
    200,
    whole(['Content-Type: image/png'], (mark) => Buffer.concat([Buffer.from('<!doctype html>'), mark])),
  ],
  ['compressed', 200, whole([JPEG, 'Content-Encoding: gzip'], (mark) => gzipSync(mark))],
  ['a picture that is called compressed', 200, whole([JPEG, 'Content-Encoding: br'])],
  ['empty', 200, whole([JPEG], () => Buffer.alloc(0))],
  ['empty, without a type', 200, whole([], () => Buffer.alloc(0))],
  ['nothing at all', 204, say(() => ['HTTP/1.1 204 No Content\r\n\r\n'])],
  [
    'a part that nobody asked for',
    502,
    say((mark) => [
      `HTTP/1.1 206 Part\r\n${JPEG}\r\nContent-Range: bytes 0-${mark.length - 1}/99999\r\n${lengthOf(mark)}\r\n\r\n`,
      mark,
    ]),
  ],
  ['a part that calls itself the whole', 200, whole([JPEG, 'Content-Range: bytes 0-9/99999'])],
  [
    'a redirect',
    502,
    say(() => ['HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n']),
  ],
  ['a picture that is not to be stored', 200, whole([JPEG, 'Cache-Control: no-store'])],
  [
    'a picture that is not to be stored, among other things',
    200,
    whole([JPEG, 'Cache-Control: private, No-Store, max-age=9']),
  ],
  ['another kind of success', 203, say((mark) => [`HTTP/1.1 203 Other\r\n${JPEG}\r\n${lengthOf(mark)}\r\n\r\n`, mark])],
  ['too large', 200, whole([JPEG], large)],
  [
    'too large, without saying so before',
    200,
    say((mark) => [head(JPEG, 'Transfer-Encoding: chunked'), chunk(mark), chunk(large(mark)), '0\r\n\r\n']),
  ],
  ['far too large', 502, say((mark) => [head(JPEG, 'Content-Length: 99999999'), mark])],
];

/** An upstream that is honest until it is told otherwise, and gives each bearer another picture while it is not. */
async function start() {
  const honest = pictureOf();
  const marks = new Map<string, Buffer>();
  let play: Play | undefined;
  const upstream = await startRawUpstream((request) => {
    const token = /^authorization: Bearer (.*)$/im.exec(request.head)?.[1] ?? '';
    const mark = marks.get(token) ?? pictureOf();
    marks.set(token, mark);
    if (play && !request.head.includes('/warm')) return play(request, mark);
    if (/^if-none-match: "honest"/im.test(request.head)) return void request.socket.write('HTTP/1.1 304 Same\r\n\r\n');
    return void request.socket.write(
      Buffer.concat([Buffer.from(head(JPEG, 'ETag: "honest"', lengthOf(honest))), honest]),
    );
  });
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const cached = await startCached({ upstreamUrl: upstream.url, set: SET });
  const fileOf = (uuid: string): Shared => ({
    uuid,
    path: `/${ORG}/${APP}/chatfiles/${uuid}`,
    secret: undefined,
    picture: honest,
  });
  const believed = async (username: string) => {
    const token = cached.tokenOf(username);
    expect((await cached.see(fileOf('warm'), token)).status).toBe(200);
    return token;
  };
  return {
    cached,
    file: fileOf('0a0b'),
    believed,
    marks,
    requests: upstream.requests,
    turn: (hostile: Play | undefined) => {
      play = hostile;
    },
  };
}

/** Nothing that was meant for somebody else. */
function expectOnlyOwn(body: Buffer, token: string, marks: ReadonlyMap<string, Buffer>): void {
  for (const [owner, mark] of marks) {
    if (owner === token) continue;
    for (let at = 3; at + 16 <= mark.length; at += 16) expect(body.includes(mark.subarray(at, at + 16))).toBe(false);
  }
}

const STORED = 'fwd=uri-miss; fwd-status=200; stored';
const HIT = 'hit; detail=memory';

describe('an answer of the upstream', () => {
  it.each(HOSTILE)('that is %s is kept for nobody', async (_name, status, play) => {
    const { cached, file, believed, marks, turn } = await start();
    const crowd = await Promise.all(['ann', 'bob', 'cid', 'dan'].map(believed));
    turn(play);
    const replies = await Promise.all(crowd.map((token) => cached.see(file, token)));
    for (const [index, reply] of replies.entries()) {
      expect(reply.status).toBe(status);
      expect(reply.cache ?? 'none').not.toMatch(/stored|hit|collapsed/);
      expect(reply.isWhole).toBe(true);
      expectOnlyOwn(reply.body, crowd[index] ?? '', marks);
    }
    expect((await cached.stats()).cache.memory.entries).toBe(1);
    turn(undefined);
    const [first, second] = [await cached.see(file, crowd[0] ?? ''), await cached.see(file, crowd[1] ?? '')];
    expect([first.body.equals(file.picture), first.cache]).toEqual([true, STORED]);
    expect([second.body.equals(file.picture), second.cache]).toEqual([true, HIT]);
  });

  it.each(HOSTILE)(
    'that is %s takes no place of what is kept, and lets nobody see that',
    async (_name, status, play) => {
      const { cached, file, believed, marks, turn } = await start();
      const ann = await believed('ann');
      expect((await cached.see(file, ann)).cache).toBe(STORED);
      const eve = cached.tokenOf('eve');
      turn(play);
      const reply = await cached.see(file, eve);
      expect(reply.status).toBe(status);
      expectOnlyOwn(reply.body, eve, new Map([...marks, ['kept', file.picture]]));
      const seen = await cached.see(file, ann);
      expect([seen.body.equals(file.picture), seen.cache]).toEqual([true, HIT]);
    },
  );

  it('that is a 304 to nobody’s question is a broken one', async () => {
    const { cached, file, believed, turn } = await start();
    const ann = await believed('ann');
    turn(say(() => ['HTTP/1.1 304 Same\r\nETag: "honest"\r\n\r\n']));
    const fields = [...thumbnailFields(ann), ['If-None-Match', '"honest"'] as const];
    expect((await askWire(cached.url(), { path: file.path, fields })).status).toBe(502);
    turn(undefined);
    expect((await cached.see(file, ann)).cache).toBe(STORED);
  });

  it('that is a picture is kept, and what it says beside is not passed on from there', async () => {
    const { cached, file, believed, turn } = await start();
    const ann = await believed('ann');
    const fields = ['Set-Cookie: a=b', 'X-Internal: host', 'Cache-Control: public, max-age=999', 'ETag: W/"theirs"'];
    turn(whole([JPEG, ...fields, 'Content-Disposition: inline', 'Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT']));
    const first = await cached.see(file, ann);
    expect([first.status, first.cache]).toEqual([200, STORED]);
    const second = await cached.see(file, ann);
    expect(second.cache).toBe(HIT);
    for (const { headers } of [first, second]) {
      expect([headers['set-cookie'], headers['x-internal'], headers['cache-control']]).toEqual([
        undefined,
        undefined,
        'private',
      ]);
      expect(headers['etag']).toMatch(/^"[\w-]{27}"$/);
      expect([headers['content-disposition'], headers['last-modified']]).toEqual([
        'inline',
        'Thu, 01 Jan 2026 00:00:00 GMT',
      ]);
    }
  });
});

describe('a confirmation that comes late', () => {
  /** Eve is confirmed by an answer that takes its time; meanwhile another request of hers is refused. */
  async function race() {
    const started = await start();
    const { cached, file, believed, turn, requests } = started;
    const ann = await believed('ann');
    expect((await cached.see(file, ann)).status).toBe(200);
    const eve = cached.tokenOf('eve');
    const held: RawRequest[] = [];
    const refusal = JSON.stringify({ error: 'unauthorized', error_description: 'Unable to authenticate (OAuth)' });
    turn((request) => {
      if (/^if-none-match/im.test(request.head)) return void held.push(request);
      const fields = `Content-Type: application/json\r\nContent-Length: ${refusal.length}`;
      request.socket.write(`HTTP/1.1 401 No\r\n${fields}\r\n\r\n${refusal}`);
    });
    const confirmed = cached.see(file, eve);
    await until(() => held.length === 1);
    const original = { path: file.path, fields: thumbnailFields(eve).slice(0, 1) };
    expect((await askWire(cached.url(), original)).status).toBe(401);
    held[0]?.socket.write('HTTP/1.1 304 Same\r\nETag: "honest"\r\n\r\n');
    return { ...started, ann, eve, confirmed, held, requests };
  }

  it('does not make believed whom the upstream has refused since', async () => {
    const { cached, file, ann, eve, confirmed, held } = await race();
    // To this request the upstream has said yes.
    expect((await confirmed).status).toBe(200);
    const again = cached.see(file, eve);
    await until(() => held.length === 2);
    held[1]?.socket.write('HTTP/1.1 304 Same\r\n\r\n');
    expect((await again).cache).toBe('fwd=request; fwd-status=304');
    expect((await cached.see(file, eve)).cache).toBe(HIT);
    expect((await cached.see(file, ann)).cache).toBe(HIT);
  });
});

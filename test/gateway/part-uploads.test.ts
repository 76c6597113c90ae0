import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, type Reply } from '../kit/ask.ts';
import { APP, bearer, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startRedis } from '../kit/redis.ts';
import { type Asked, type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';

const PARTS = `/${ORG}/${APP}/sdk/chatfiles/part-upload`;
const AS_ANN = bearer('YWMt-of-ann');
const KB = 1024;
const OPEN = ['passthrough=sdk/chatfiles/part-upload/**', 'limits.fileBytes=100KB'];

/** An upstream that takes files in parts, and remembers what it was given of each. */
async function startParts(answerPart: (count: number) => Scripted | undefined = () => undefined) {
  const uploads = new Map<string, number>();
  let parts = 0;
  const answer = ({ method, path, body }: Asked): Scripted => {
    const id = path.split('?')[0]?.split('/')[6] ?? '';
    if (method === 'POST' && id === '') {
      const uuid = randomUUID();
      uploads.set(uuid, 0);
      return { body: { entities: [{ uuid, file_upper_limit: 10_737_418_240, part_lower_limit: 1 }] } };
    }
    if (method === 'PUT') {
      parts += 1;
      const other = answerPart(parts);
      if (other) return other;
      uploads.set(id, (uploads.get(id) ?? 0) + body.length);
    }
    if (method === 'POST')
      return { body: { uri: `https://a1.easemob.com/${ORG}/${APP}/chatfiles`, entities: [{ uuid: id }] } };
    return { body: {} };
  };
  const upstream = await startScriptedUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  return { upstream, uploads };
}

/** A client as the web SDKs are one: begin, part by part, end. */
const clientOf = (url: string) => ({
  async begin(): Promise<{ status: number; id: string }> {
    const headers = { ...AS_ANN, 'content-type': 'application/json' };
    const { status, body } = await ask(url + PARTS, { method: 'POST', headers });
    const { entities = [] } = JSON.parse(body.toString()) as { entities?: { uuid: string }[] };
    return { status, id: entities[0]?.uuid ?? '' };
  },
  part(id: string, bytes: number, number = 1): Promise<Reply> {
    const { contentType, body } = partForm(bytes, number);
    return ask(`${url}${PARTS}/${id}`, {
      method: 'PUT',
      headers: { ...AS_ANN, 'content-type': contentType, 'restrict-access': 'true' },
      body,
    });
  },
  end: (id: string, method = 'POST'): Promise<Reply> =>
    ask(`${url}${PARTS}/${id}?restrict-access=true&chat-type=CHAT`, {
      method,
      headers: AS_ANN,
      ...(method === 'POST' ? { body: Buffer.alloc(0) } : {}),
    }),
});

function partForm(bytes: number, number: number, more = 0) {
  const head = (name: string) => `--b\r\nContent-Disposition: form-data; name="${name}"`;
  const body = Buffer.concat([
    Buffer.from(`${head('part_file')}; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\n`),
    randomBytes(bytes),
    Buffer.from(`\r\n${head('part_number')}\r\n\r\n${number}`),
    Buffer.from(more > 0 ? `\r\n${head('file')}\r\n\r\n${'x'.repeat(more)}` : ''),
    Buffer.from('\r\n--b--\r\n'),
  ]);
  return { contentType: 'multipart/form-data; boundary=b', body };
}

async function start(set = OPEN, answerPart?: (count: number) => Scripted | undefined) {
  const { upstream, uploads } = await startParts(answerPart);
  const running = await startGateway({ upstreamUrl: upstream.url, set });
  return { ...running, upstream, uploads, client: clientOf(running.gateway.url) };
}

/** Begins one as soon as the gateway can sum it: it connects in the background, and a new account begins with a hold. */
async function beginSoon(client: ReturnType<typeof clientOf>): Promise<string> {
  for (let tries = 0; tries < 20; tries += 1) {
    const { status, id } = await client.begin();
    if (status === 200) return id;
  }
  throw new Error('no upload could be begun');
}

describe('an upload in parts', () => {
  it.each(['**', 'sdk/**', 'sdk/chatfiles/**', 'sdk/chatfiles/*'])(
    'is closed, also to %s: the SDK falls back to a plain one',
    async (pattern) => {
      const { client, upstream } = await start([`passthrough=${pattern}`]);
      expect((await client.begin()).status).toBe(404);
      expect([(await client.part('x', 10)).status, (await client.end('x')).status]).toEqual([404, 404]);
      expect(upstream.asked).toEqual([]);
    },
  );

  it('goes through where it is named, as the client sent it, and its end names our address', async () => {
    const { client, gateway, upstream, summaries } = await start();
    const { status, id } = await client.begin();
    const parts = await Promise.all([40, 40, 20].map((size, i) => client.part(id, size * KB, i + 1)));
    expect([status, ...parts.map((reply) => reply.status)]).toEqual([200, 200, 200, 200]);
    const end = await client.end(id);
    expect(JSON.parse(end.body.toString())).toEqual({
      uri: `${gateway.url}/${ORG}/${APP}/chatfiles`,
      entities: [{ uuid: id }],
    });
    expect(upstream.asked.map(({ method }) => method)).toEqual(['POST', 'PUT', 'PUT', 'PUT', 'POST']);
    expect(upstream.asked.at(-1)?.path).toBe(`${PARTS}/${id}?restrict-access=true&chat-type=CHAT`);
    expect(upstream.asked[1]?.headers).toMatchObject({
      'restrict-access': 'true',
      'content-type': 'multipart/form-data; boundary=b',
    });
    expect(summaries.every(({ route }) => route === 'part-upload')).toBe(true);
  });

  it('is refused past the size of a file, however many parts come at once', async () => {
    const { client, uploads } = await start();
    const { id } = await client.begin();
    const replies = await Promise.all(Array.from({ length: 12 }, (_, i) => client.part(id, 15 * KB, i + 1)));
    const taken = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 413);
    expect([taken.length, refused.length]).toEqual([6, 6]);
    expect(JSON.parse(refused[0]?.body.toString() ?? '')).toMatchObject({ error: 'file exceeding maximum limit' });
    expect(uploads.get(id)).toBeLessThan(101 * KB);
    // A small one still fits.
    expect((await client.part(id, 10 * KB, 13)).status).toBe(200);
    expect((await client.part(id, 1, 14)).status).toBe(413);
  });

  it('is summed over plain bytes likewise, as native clients send them', async () => {
    const { gateway, client } = await start();
    const { id } = await client.begin();
    const put = (bytes: number, type = 'application/octet-stream') =>
      ask(`${gateway.url}${PARTS}/${id}`, {
        method: 'PUT',
        headers: { ...AS_ANN, 'content-type': type },
        body: randomBytes(bytes),
      });
    const statuses = [
      await put(60 * KB),
      await put(41 * KB),
      await put(40 * KB),
      await put(1),
      await put(10, 'text/plain'),
    ];
    expect(statuses.map(({ status }) => status)).toEqual([200, 413, 200, 413, 415]);
  });

  it('cannot hide its bytes beside the part', async () => {
    const { gateway, client, uploads } = await start();
    const { id } = await client.begin();
    const statuses = [];
    for (let number = 1; number <= 3; number += 1) {
      const { contentType, body } = partForm(1, number, 50 * KB);
      const headers = { ...AS_ANN, 'content-type': contentType };
      statuses.push((await ask(`${gateway.url}${PARTS}/${id}`, { method: 'PUT', headers, body })).status);
    }
    expect(statuses).toEqual([200, 200, 413]);
    expect(uploads.get(id)).toBeLessThan(110 * KB);
  });

  it('that did not begin here, or is over, is unknown', async () => {
    const { client, upstream } = await start();
    expect((await client.part(randomUUID(), 10)).status).toBe(404);
    for (const method of ['POST', 'DELETE']) {
      const { id } = await client.begin();
      await client.part(id, 10);
      expect((await client.end(id, method)).status).toBe(200);
      expect((await client.part(id, 10)).status).toBe(404);
    }
    expect(upstream.asked.filter(({ method }) => method === 'PUT')).toHaveLength(2);
  });

  it('gets back what Easemob refused of it, and not what it may have taken', async () => {
    const answers: Record<number, Scripted> = {
      1: { status: 400, body: { error: 'illegal_argument' } },
      2: { reset: true },
      3: { status: 500, body: { error: 'web_application' } },
    };
    const { client } = await start(OPEN, (count) => answers[count]);
    const { id } = await client.begin();
    const statuses = [];
    for (const size of [100, 30, 30, 40, 1]) statuses.push((await client.part(id, size * KB)).status);
    expect(statuses).toEqual([400, 502, 500, 200, 413]);
  });

  it('is sent again when it was throttled, and counts once', async () => {
    const { client } = await start(OPEN, (count) => (count < 3 ? { status: 503 } : undefined));
    const { id } = await client.begin();
    expect([(await client.part(id, 60 * KB)).status, (await client.part(id, 40 * KB)).status]).toEqual([200, 200]);
  });

  it('may be listed', async () => {
    const { client, gateway } = await start();
    const { id } = await client.begin();
    expect((await ask(`${gateway.url}${PARTS}/${id}/parts`, { headers: AS_ANN })).status).toBe(200);
    expect((await ask(`${gateway.url}${PARTS}/${id}`, { headers: AS_ANN })).headers['allow']).toBe('PUT, POST, DELETE');
  });

  it('is summed over all replicas, whichever gets a part', async () => {
    await using redis = await startRedis();
    const { upstream, uploads } = await startParts();
    const set = [...OPEN, `redis.url=${redis.url}`];
    const replicas = await Promise.all([1, 2, 3].map(() => startGateway({ upstreamUrl: upstream.url, set })));
    const clients = replicas.map(({ gateway }) => clientOf(gateway.url));
    // Once each of them can begin one, all are connected.
    let id = '';
    for (const client of clients) id = await beginSoon(client);
    const replies = await Promise.all(Array.from({ length: 12 }, (_, i) => clients[i % 3]!.part(id, 15 * KB, i + 1)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(6);
    expect(uploads.get(id)).toBeLessThan(95 * KB);
  });

  it('is not possible while Redis is away: the SDK falls back to a plain one', async () => {
    await using redis = await startRedis();
    const { client, uploads } = await start([...OPEN, `redis.url=${redis.url}`]);
    const id = await beginSoon(client);
    await redis.stop();
    const [part, begun] = [await client.part(id, 10), await client.begin()];
    expect([part.status, part.headers['retry-after'], begun.status]).toEqual([503, '1', 503]);
    expect(uploads.get(id)).toBe(0);
  });
});

import { IncomingMessage, type IncomingHttpHeaders } from 'node:http';
import { Socket } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Bearer } from '../../src/access/bearer.ts';
import { learnUpload } from '../../src/server/learn-upload.ts';
import type { Outcome } from '../../src/upstream/send.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const BEARER: Bearer = { app: 'o/a', token: 't', key: 'k', kind: 'user', endsAt: Infinity };

/** Reads one answer to an upload, and tells what was learnt from it and what goes on. */
async function read(
  text: string | Buffer,
  { status = 200, headers = {} }: { status?: number; headers?: IncomingHttpHeaders } = {},
) {
  const learnt: [app: string, file: string, hasSecret: boolean, sentAt: number][] = [];
  const body = new IncomingMessage(new Socket());
  let released = 0;
  const outcome: Outcome = { kind: 'answer', status, headers, body, release: () => (released += 1) };
  body.push(text);
  body.complete = true;
  body.push(null);
  const access = {
    learnUpload: (app: string, file: string, secret: string | undefined, sentAt: number) =>
      void learnt.push([app, file, secret !== undefined && secret !== '', sentAt]),
  };
  const { outcome: read, files } = await learnUpload({ outcome, sentAt: 77 }, BEARER, {
    access,
    clock: createFakeClock(),
    answer: { idleMs: 1000 },
  });
  return { learnt, outcome, read, files, released, body };
}

const answerOf = (...entities: unknown[]) => JSON.stringify({ uri: 'u', entities });

describe('the answer to an upload', () => {
  it('teaches that a file needs no secret, and goes on as it came', async () => {
    const text = answerOf({ uuid: '0a0b', type: 'chatfile' });
    const { learnt, read: passed, released } = await read(text);
    expect(learnt).toEqual([['o/a', '0a0b', false, 77]]);
    expect(passed.kind === 'answer' && passed.whole?.toString()).toBe(text);
    expect(released).toBe(1);
  });

  it.each([
    ['a text', 'DRGM8OZrEeO1vafu'],
    ['an empty text', ''],
    ['a number', 5],
    ['no', false],
    ['a list', []],
    ['something else', { secret: 'x' }],
  ])('does not teach that a file is open whose secret is %s', async (_case, secret) => {
    const { learnt } = await read(answerOf({ uuid: '0a0b', 'share-secret': secret }));
    expect(learnt).toEqual([['o/a', '0a0b', true, 77]]);
  });

  it('names its files and their secrets as they are', async () => {
    const { files } = await read(
      answerOf({ uuid: 'one', 'share-secret': 'DRGM8-_x' }, { uuid: 'two' }, { uuid: '../x' }),
    );
    expect(files).toEqual([
      { uuid: 'one', secret: 'DRGM8-_x' },
      { uuid: 'two', secret: undefined },
    ]);
  });

  it('teaches of each file by itself', async () => {
    const { learnt } = await read(
      answerOf({ uuid: 'one' }, { uuid: 'two', 'share-secret': 's' }, { uuid: 'three', 'share-secret': null }),
    );
    expect(learnt.map(([, file, hasSecret]) => [file, hasSecret])).toEqual([
      ['one', false],
      ['two', true],
      ['three', false],
    ]);
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '<h1>hello</h1>'],
    ['half of the JSON', answerOf({ uuid: '0a0b' }).slice(0, -2)],
    ['a text', '"entities"'],
    ['null', 'null'],
    ['a list', '[{"uuid":"0a0b"}]'],
    ['no files', '{}'],
    ['files that are none', '{"entities":{"uuid":"0a0b"}}'],
    ['files without a name', answerOf({}, null, 5, 'x', [], { uuid: 5 })],
  ])('teaches nothing by %s, and goes on as it came', async (_case, text) => {
    const { learnt, read: passed } = await read(text);
    expect(learnt).toEqual([]);
    expect(passed.kind === 'answer' && passed.whole?.toString()).toBe(text);
  });

  it('teaches nothing by another status, though it is read', async () => {
    const { learnt, read: passed } = await read(answerOf({ uuid: '0a0b' }), { status: 201 });
    expect([learnt, passed.kind === 'answer' && passed.whole?.length]).toEqual([[], answerOf({ uuid: '0a0b' }).length]);
  });

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ])('teaches also in %s, and goes on without it', async (coding, encode) => {
    const text = answerOf({ uuid: '0a0b' });
    const { learnt, read: passed } = await read(encode(text), { headers: { 'content-encoding': coding } });
    expect(learnt).toHaveLength(1);
    expect(passed).toMatchObject({ headers: {}, whole: Buffer.from(text) });
  });

  it.each([
    ['no gzip though it says so', 'nonsense'],
    ['more than any answer when it is unpacked', gzipSync(' '.repeat(5_000_000))],
  ])('teaches nothing by %s, and goes on as it came', async (_case, body) => {
    const { learnt, read: passed } = await read(body, { headers: { 'content-encoding': 'gzip' } });
    expect([learnt, passed.kind === 'answer' && passed.headers]).toEqual([[], { 'content-encoding': 'gzip' }]);
  });

  it.each<[string, number, IncomingHttpHeaders]>([
    ['is a redirect', 302, {}],
    ['is a part', 206, {}],
    ['is in a coding that nobody knows', 200, { 'content-encoding': 'compress' }],
  ])('that %s is not read at all', async (_case, status, headers) => {
    const { learnt, read: passed, outcome, released } = await read(answerOf({ uuid: '0a0b' }), { status, headers });
    expect([learnt, passed === outcome, released]).toEqual([[], true, 0]);
  });

  it('that is longer than any goes on from its beginning, and teaches nothing', async () => {
    const text = answerOf({ uuid: '0a0b', more: 'x'.repeat(1_100_000) });
    const { learnt, read: passed, outcome, body } = await read(text);
    expect([learnt, passed === outcome]).toEqual([[], true]);
    let rest = '';
    for await (const chunk of body) rest += String(chunk);
    expect(rest === text).toBe(true);
  });

  it('that is a refusal, or none, goes on', async () => {
    const outcome = { kind: 'failure', cause: 'reset', sent: 'whole', reused: false, error: new Error('x') } as const;
    const deps = { access: { learnUpload() {} }, clock: createFakeClock(), answer: { idleMs: 1000 } };
    expect((await learnUpload({ outcome, sentAt: 1 }, BEARER, deps)).outcome).toBe(outcome);
  });
});

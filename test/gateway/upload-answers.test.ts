import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf } from '../kit/ask.ts';
import { bearer, CHATFILES, fileOf } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { connectRaw } from '../kit/raw-client.ts';
import { type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';

const THEIRS = 'https://a1.easemob.com/o1/a1/chatfiles';
const ANSWER = { uri: THEIRS, entities: [{ uuid: '0a0b' }], n: 1 };
const TEXT = JSON.stringify(ANSWER);

/** A gateway in front of an upstream that answers every upload like this, and one upload through it. */
async function uploadAnswered(answer: Scripted, set: string[] = [], more: Record<string, string> = {}) {
  const upstream = await startScriptedUpstream(() => answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const { gateway, summaries } = await startGateway({ upstreamUrl: upstream.url, set });
  const { contentType, body } = multipartOf(fileOf(100));
  const headers = { ...bearer('YWMt-of-ann'), 'content-type': contentType, ...more };
  const reply = await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body });
  return { reply, gateway, upstream, summaries };
}

const OURS = ({ url }: { url: string }) => TEXT.replace('https://a1.easemob.com', url);

describe('the answer to an upload names the gateway', () => {
  it.each<[string, Scripted]>([
    ['plainly', { body: ANSWER }],
    ['where it is 201', { status: 201, body: ANSWER }],
    [
      'where it is compressed, though it was asked not to be',
      { body: gzipSync(TEXT), headers: { 'content-encoding': 'gzip' } },
    ],
  ])('%s', async (_case, answer) => {
    const { reply, gateway, upstream } = await uploadAnswered(answer);
    expect(reply.body.toString()).toBe(OURS(gateway));
    expect([reply.status, reply.headers['content-encoding']]).toEqual([answer.status ?? 200, undefined]);
    expect(reply.headers['content-length']).toBe(String(reply.body.length));
    expect(upstream.asked[0]?.headers['accept-encoding']).toBe('identity');
  });

  it('where it is long', async () => {
    const { reply, gateway } = await uploadAnswered({ body: { ...ANSWER, more: 'x'.repeat(300_000) } });
    expect((JSON.parse(reply.body.toString()) as { uri: string }).uri).toBe(`${gateway.url}${CHATFILES}`);
  });

  it('in Location too', async () => {
    const headers = { location: `${THEIRS}/0a0b` };
    const { reply, gateway } = await uploadAnswered({ status: 201, body: ANSWER, headers });
    expect(reply.headers.location).toBe(`${gateway.url}${CHATFILES}/0a0b`);
  });

  it.each([
    ['x-forwarded-host', 'evil"/x'],
    ['x-forwarded-host', 'user@evil'],
    ['x-forwarded-host', 'evil/path'],
    ['x-forwarded-proto', 'javascript'],
  ])('by what it knows where a trusted %s is %s', async (name, value) => {
    const { reply, gateway } = await uploadAnswered({ body: ANSWER }, ['trustedProxies=127.0.0.1'], { [name]: value });
    expect(reply.body.toString()).toBe(OURS(gateway));
  });

  it('by its own address to a client of HTTP/1.0 that names no host', async () => {
    const { gateway } = await uploadAnswered({ body: ANSWER });
    const { contentType, body } = multipartOf(fileOf(100));
    using client = await connectRaw(gateway.url);
    const head = `POST ${CHATFILES} HTTP/1.0\r\nAuthorization: Bearer YWMt-of-ann\r\nContent-Type: ${contentType}\r\n`;
    await client.send(Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), body]));
    const { text } = await client.ended();
    expect(text).toContain(OURS(gateway));
  });

  it.each<[string, Scripted]>([
    ['longer than any', { body: { ...ANSWER, more: 'x'.repeat(2_000_000) } }],
    ['in a coding that nobody knows', { body: ANSWER, headers: { 'content-encoding': 'compress' } }],
    ['not in the coding it says', { body: ANSWER, headers: { 'content-encoding': 'gzip' } }],
  ])('or is not handed on, where it is %s', async (_case, answer) => {
    const { reply, summaries } = await uploadAnswered(answer);
    expect([reply.status, reply.body.includes('easemob.com')]).toEqual([502, false]);
    expect(summaries.at(-1)).toMatchObject({ error: 'UPSTREAM_BROKEN', source: 'upstream' });
  });
});

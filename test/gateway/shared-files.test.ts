import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf, sha256 } from '../kit/ask.ts';
import { APP, bearer, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { type Asked, type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';

const BASE = `/${ORG}/${APP}`;
const FILES = `${BASE}/chatgroups/66021836783617/share_files`;
const AS_ANN = bearer('YWMt-of-ann');

async function start(answer: (asked: Asked) => Scripted, set: string[] = []) {
  const upstream = await startScriptedUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const running = await startGateway({ upstreamUrl: upstream.url, set: ['passthrough=**', ...set] });
  return { ...running, upstream };
}

const share = (url: string, bytes: number, path = `${FILES}?resource=webim_1`) => {
  const { contentType, body } = multipartOf(randomBytes(bytes));
  return ask(url + path, { method: 'POST', headers: { ...AS_ANN, 'content-type': contentType }, body });
};

describe('a file shared with a group', () => {
  it('goes up byte for byte, and its address in the answer is ours', async () => {
    const { gateway, upstream, summaries } = await start(({ path }) => ({
      headers: { 'content-type': 'application/json' },
      body: `{"uri":"https://a1.easemob.com${path}","data":{"file_url":"https://a1.easemob.com${FILES}/f1","file_size":1.0,"created":15999999999999999999}}`,
    }));
    const { contentType, body } = multipartOf(randomBytes(300_000));
    const reply = await ask(`${gateway.url}${FILES}?resource=x`, {
      method: 'POST',
      headers: { ...AS_ANN, 'content-type': contentType },
      body,
    });
    expect(reply.body.toString()).toBe(
      `{"uri":"${gateway.url}${FILES}?resource=x","data":{"file_url":"${gateway.url}${FILES}/f1","file_size":1.0,"created":15999999999999999999}}`,
    );
    expect(reply.headers).toMatchObject({ 'cache-control': 'no-store', 'content-length': String(reply.body.length) });
    const [asked] = upstream.asked;
    expect(asked).toMatchObject({ method: 'POST', path: `${FILES}?resource=x` });
    expect(sha256(asked?.body ?? Buffer.alloc(0))).toBe(sha256(body));
    expect(asked?.headers).toMatchObject({ 'content-type': contentType, 'content-length': String(body.length) });
    expect(summaries).toMatchObject([{ route: 'shared-file', bytesIn: body.length }]);
  });

  it('keeps an address in the answer that is none of this app', async () => {
    const elsewhere = 'https://storage.example.com/bucket/f1?signature=x';
    const { gateway } = await start(() => ({ body: { data: { file_url: elsewhere } } }));
    expect(JSON.parse((await share(gateway.url, 10)).body.toString())).toEqual({ data: { file_url: elsewhere } });
  });

  it.each([
    ['of the largest size', 1024 * 1024, 200],
    ['that is too large', 1024 * 1024 + 1, 413],
    ['that is empty', 0, 400],
  ])('%s is judged as an upload is', async (_case, bytes, status) => {
    const { gateway, upstream } = await start(
      () => ({ body: {} }),
      ['limits.fileBytes=1MB', 'limits.siblingBytes=1KB'],
    );
    expect((await share(gateway.url, bytes)).status).toBe(status);
    expect(upstream.asked).toHaveLength(status === 200 ? 1 : 0);
  });

  it('needs a form, also for a room', async () => {
    const { gateway, upstream } = await start(() => ({ body: {} }));
    const url = `${gateway.url}${BASE}/chatrooms/1/share_files`;
    const headers = { ...AS_ANN, 'content-type': 'application/json' };
    expect((await ask(url, { method: 'POST', headers, body: Buffer.alloc(2_000_000) })).status).toBe(415);
    expect(upstream.asked).toEqual([]);
    expect((await share(gateway.url, 10, `${BASE}/chatrooms/1/share_files`)).status).toBe(200);
  });

  it('comes down as it is, whole or in part, with its length, however large', async () => {
    const file = randomBytes(5_000_000);
    const { gateway, upstream } = await start(({ headers }) =>
      headers.range === undefined
        ? { headers: { 'content-type': 'application/zip', etag: '"e"' }, body: file }
        : { status: 206, headers: { 'content-range': 'bytes 0-9/5000000' }, body: file.subarray(0, 10) },
    );
    const whole = await ask(`${gateway.url}${FILES}/f1`, { headers: { ...AS_ANN, accept: '*/*' } });
    expect([whole.status, whole.headers['content-length'], whole.headers.etag]).toEqual([200, '5000000', '"e"']);
    expect(createHash('sha256').update(whole.body).digest('hex')).toBe(sha256(file));
    const part = await ask(`${gateway.url}${FILES}/f1`, { headers: { ...AS_ANN, range: 'bytes=0-9' } });
    expect([part.status, part.body.length, part.headers['content-range']]).toEqual([206, 10, 'bytes 0-9/5000000']);
    expect(upstream.asked[0]?.headers.accept).toBe('*/*');
  });

  it('can be listed and deleted', async () => {
    const { gateway, upstream } = await start(() => ({ body: { data: [] } }));
    const list = await ask(`${gateway.url}${FILES}?pagenum=1&pagesize=10&version=v3`, { headers: AS_ANN });
    const gone = await ask(`${gateway.url}${FILES}/f1?resource=x`, { method: 'DELETE', headers: AS_ANN });
    const odd = await ask(`${gateway.url}${FILES}/f1`, { method: 'PUT', headers: AS_ANN, body: Buffer.alloc(10) });
    expect([list.status, gone.status, odd.status, odd.headers['allow']]).toEqual([200, 200, 405, 'GET, HEAD, DELETE']);
    expect(upstream.asked.map(({ method }) => method)).toEqual(['GET', 'DELETE']);
  });
});

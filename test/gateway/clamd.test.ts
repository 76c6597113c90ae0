import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf } from '../kit/ask.ts';
import { until } from '../kit/cached.ts';
import { startClamd, type TestClamd, VIRUS, VIRUS_NAME } from '../kit/clamd.ts';
import { APP, bearer, CHATFILES, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startScriptedUpstream } from '../kit/scripted-upstream.ts';

const AS_ANN = bearer('YWMt-of-ann');
/** Larger than what an upload may hold in memory, so that it waits on the disk; the virus lies at its end. */
const CLEAN = randomBytes(1_500_000);
const INFECTED = Buffer.concat([CLEAN, Buffer.from(VIRUS)]);

async function start(address: string, set: string[] = []) {
  const upstream = await startScriptedUpstream(() => ({
    body: { entities: [{ uuid: randomUUID(), type: 'chatfile' }] },
  }));
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const running = await startGateway({
    upstreamUrl: upstream.url,
    set: [`scan.clamd=${address}`, 'tell.serverTiming=true', 'passthrough=**,sdk/chatfiles/part-upload/**', ...set],
  });
  const send = async (bytes: Buffer, path = CHATFILES) => {
    const { contentType, body } = multipartOf(bytes);
    const headers = { ...AS_ANN, 'content-type': contentType };
    const reply = await ask(running.gateway.url + path, { method: 'POST', headers, body });
    return { ...reply, json: JSON.parse(reply.body.toString()) as Record<string, unknown> };
  };
  return { ...running, upstream, send };
}

describe('an upload that clamd looks at', () => {
  let clamd: TestClamd;
  beforeAll(async () => {
    clamd = await startClamd({ StreamMaxLength: '4M' });
  }, 30_000);
  afterAll(() => clamd[Symbol.asyncDispose]());

  it('goes up when it is clean, byte for byte', async () => {
    const { send, upstream, summaries } = await start(clamd.address);
    const reply = await send(CLEAN);
    expect(reply.status).toBe(200);
    expect(reply.headers['server-timing']).toMatch(/^scan;dur=[\d.]+, queue;dur=/);
    expect(upstream.asked[0]?.body.includes(CLEAN)).toBe(true);
    await until(() => summaries.length === 1);
    expect(summaries).toMatchObject([{ decision: 'allow', scan: 'clean' }]);
  });

  it('goes nowhere when it is not, and its client is told what was found', async () => {
    const { send, upstream, summaries } = await start(clamd.address);
    const { status, json } = await send(INFECTED);
    expect(status).toBe(400);
    expect(json).toMatchObject({
      error: 'content improper',
      error_description: `The file was found to be malicious. (${VIRUS_NAME})`,
    });
    const shared = await send(INFECTED, `/${ORG}/${APP}/chatgroups/66021836783617/share_files`);
    expect(shared.status).toBe(400);
    expect(upstream.asked).toHaveLength(0);
    await until(() => summaries.length === 2);
    expect(summaries).toMatchObject([
      { decision: 'deny', decisionReason: 'FILE_INFECTED', scan: 'infected', reason: `clamd found ${VIRUS_NAME}` },
      { decision: 'deny', decisionReason: 'FILE_INFECTED', scan: 'infected' },
    ]);
  });

  it('is judged by its file alone, and not by what the form has around it', async () => {
    const { gateway, upstream } = await start(clamd.address);
    const form = new FormData();
    form.append('comment', VIRUS);
    form.append('file', new Blob(['clean']), 'a.txt');
    const reply = await fetch(gateway.url + CHATFILES, { method: 'POST', headers: AS_ANN, body: form });
    expect(reply.status).toBe(200);
    expect(upstream.asked).toHaveLength(1);
  });

  it('is looked at together with others', async () => {
    const { send, upstream } = await start(clamd.address, ['scan.maxAtOnce=2']);
    const sent = await Promise.all([send(CLEAN), send(INFECTED), send(INFECTED), send(CLEAN)]);
    expect(sent.map(({ status }) => status)).toEqual([200, 400, 400, 200]);
    expect(upstream.asked).toHaveLength(2);
  });

  it('does not come in parts', async () => {
    const { gateway } = await start(clamd.address);
    const url = `${gateway.url}/${ORG}/${APP}/sdk/chatfiles/part-upload`;
    expect((await ask(url, { method: 'POST', headers: AS_ANN, body: Buffer.alloc(0) })).status).toBe(403);
  });

  it('does not go by a path where clamd would not look at it', async () => {
    const { gateway, upstream, send } = await start(clamd.address, ['passthrough=users/*,/easemob/logger/devicelogs']);
    expect((await send(INFECTED, `/${ORG}/${APP}/users/ann`)).status).toBe(403);
    expect((await send(INFECTED, '/easemob/logger/devicelogs')).status).toBe(403);
    expect(upstream.asked).toHaveLength(0);
    const headers = { ...AS_ANN, 'content-type': 'application/json' };
    const question = { method: 'POST', headers, body: Buffer.from('{}') };
    expect((await ask(`${gateway.url}/${ORG}/${APP}/users/ann`, question)).status).toBe(200);
  });

  it('goes up where that is only reported, and is written down', async () => {
    const { send, upstream, summaries } = await start(clamd.address, ['enforce.scan=report']);
    expect((await send(INFECTED)).status).toBe(200);
    expect(upstream.asked).toHaveLength(1);
    await until(() => summaries.length === 1);
    expect(summaries).toMatchObject([{ decision: 'allow', wouldDeny: 'FILE_INFECTED', scan: 'infected' }]);
  });

  it('is refused when it is too large for clamd, which is no "clean"', async () => {
    const { send, upstream, summaries } = await start(clamd.address);
    const { status, headers } = await send(randomBytes(6_000_000));
    expect([status, headers['retry-after']]).toEqual([503, '5']);
    expect(upstream.asked).toHaveLength(0);
    await until(() => summaries.length === 1);
    expect(summaries[0]?.reason).toContain('StreamMaxLength');
  });
});

describe('while clamd is stopped or hangs', () => {
  let clamd: TestClamd;
  beforeAll(async () => {
    clamd = await startClamd();
  }, 30_000);
  afterAll(() => clamd[Symbol.asyncDispose]());

  it('uploads are answered with 503, or go on unseen where that is wished for; and are looked at again afterwards', async () => {
    const closed = await start(clamd.address, ['scan.timeoutMs=500']);
    const open = await start(clamd.address, ['scan.timeoutMs=500', 'scan.failOpen=true']);
    const both = async () =>
      (await Promise.all([closed.send(INFECTED), open.send(INFECTED)])).map(({ status }) => status);
    expect(await both()).toEqual([400, 400]);
    clamd.signal('SIGSTOP');
    expect(await both()).toEqual([503, 200]);
    const areDegraded = () => [closed, open].map(({ gateway }) => gateway.health.isDegraded('scan'));
    expect(areDegraded()).toEqual([true, true]);
    clamd.signal('SIGCONT');
    await until(async () => (await closed.send(INFECTED)).status === 400);
    expect(areDegraded()).toEqual([false, true]);
    await clamd.stop();
    expect(await both()).toEqual([503, 200]);
    expect(closed.upstream.asked).toHaveLength(0);
    await until(() => open.summaries.length === 3 && closed.summaries.length > 3);
    expect(open.summaries.at(-1)).toMatchObject({ decision: 'allow', scan: 'failed', wouldDeny: undefined });
    expect(closed.summaries.at(-1)).toMatchObject({ decision: 'deny', decisionReason: 'SCAN_UNAVAILABLE' });
    const { json } = await closed.send(CLEAN);
    expect(json).toMatchObject({ error: 'service_unavailable' });
    await clamd.restart();
    expect(await both()).toEqual([400, 400]);
  });
});

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { connect as tlsConnect } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { KINDS } from '../../src/errors.ts';
import type { Gateway } from '../../src/gateway.ts';
import { ask, multipartOf, type Reply, sha256 } from '../kit/ask.ts';
import { createAuthority } from '../kit/certificates.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { head, UPLOAD } from '../kit/hostile.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { connectRaw } from '../kit/raw-client.ts';

const readiness = async ({ adminUrl }: Gateway): Promise<[number, string]> => {
  const response = await fetch(`${adminUrl}/readyz`);
  const [status = ''] = (await response.text()).split('\n');
  return [response.status, status];
};
const errorOf = ({ body }: Reply): string =>
  (JSON.parse(body.toString()) as { error_description: string }).error_description;

/** A client that keeps its connection to itself, and asks again on the same one. */
function keepingClient(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return async (
    path: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; connection: string | undefined }> => {
    const outgoing = request(`${url}${path}`, { agent, headers }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    answer.resume();
    await once(answer, 'end');
    return { status: answer.statusCode ?? 0, connection: answer.headers.connection };
  };
}

describe('a drain', () => {
  it('lets everything that is under way come to its end, and cuts nobody', async () => {
    const { gateway, emulator, summaries } = await startGateway({
      set: ['quota.perSecond=4', 'quota.maxWaitMs=60000'],
    });
    const token = emulator.issueToken(ORG, APP);
    const large = fileOf(9_000_000);
    const { uuid } = await uploadTo(emulator.url, token, large);
    emulator.clearReceived();
    // Half of an upload; a download that is read slowly; and thumbnails that have to wait for slots.
    const { contentType, body } = multipartOf(fileOf(100_000));
    const upload = request(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token, { 'content-type': contentType, 'content-length': String(body.length) }),
    });
    const uploaded = once(upload, 'response') as Promise<[IncomingMessage]>;
    upload.write(body.subarray(0, 50_000));
    const download = request(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).end();
    const [streamed] = (await once(download, 'response')) as [IncomingMessage];
    const queued = Array.from({ length: 6 }, (_, index) =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, { 'thumbnail-width': String(index) }) }),
    );
    await expect.poll(() => emulator.received().length).toBeGreaterThan(1);

    const drained = gateway.drain({ delayMs: 200, deadlineMs: 15_000 });
    expect(await readiness(gateway)).toEqual([503, 'draining']);
    upload.end(body.subarray(50_000));
    const chunks: Buffer[] = [];
    for await (const chunk of streamed) chunks.push(chunk as Buffer);
    expect(sha256(Buffer.concat(chunks))).toBe(sha256(large));
    const [answer] = await uploaded;
    expect([answer.statusCode, answer.headers.connection]).toEqual([200, 'close']);
    answer.resume();
    expect((await Promise.all(queued)).map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
    expect(await drained).toEqual({ finished: 8, refused: 0, cut: 0 });
    expect(summaries.filter(({ status }) => status !== 200)).toEqual([]);
  });

  it('takes requests until its delay is over, closes their connections, and then takes no more', async () => {
    const { gateway, emulator } = await startGateway();
    const headers = bearer(emulator.issueToken(ORG, APP));
    const { uuid } = await uploadTo(emulator.url, emulator.issueToken(ORG, APP), 'x');
    const path = `${CHATFILES}/${uuid}`;
    const client = keepingClient(gateway.url);
    expect(await client(path, headers)).toEqual({ status: 200, connection: 'keep-alive' });
    const drained = gateway.drain({ delayMs: 500, deadlineMs: 10_000 });
    expect(await client(path, headers)).toEqual({ status: 200, connection: 'close' });
    expect(await client(path, headers)).toEqual({ status: 200, connection: 'close' });
    await drained;
    expect((await ask(`${gateway.url}${path}`, { headers })).status).toBe(0);
    // Whoever looks after the process still sees what it does.
    expect(await readiness(gateway)).toEqual([503, 'draining']);
    expect((await fetch(`${gateway.adminUrl}/livez`)).status).toBe(200);
    expect((await fetch(`${gateway.adminUrl}/startupz`)).status).toBe(200);
  });

  it('answers on a connection that was kept, when nobody can connect any more', async () => {
    const { gateway, emulator } = await startGateway();
    const headers = bearer(emulator.issueToken(ORG, APP));
    const { uuid } = await uploadTo(emulator.url, emulator.issueToken(ORG, APP), 'x');
    const path = `${CHATFILES}/${uuid}`;
    const client = keepingClient(gateway.url);
    expect((await client(path, headers)).status).toBe(200);
    const drained = gateway.drain({ delayMs: 100, deadlineMs: 10_000 });
    await expect.poll(async () => (await ask(`${gateway.url}${path}`, { headers })).status).toBe(0);
    expect(await client(path, headers)).toEqual({ status: 200, connection: 'close' });
    expect(await drained).toMatchObject({ cut: 0 });
  });

  it('lets go at last of a connection on which nothing comes', async () => {
    const { gateway } = await startGateway();
    using client = await connectRaw(gateway.url);
    const drained = gateway.drain({ delayMs: 100, deadlineMs: 10_000 });
    expect((await client.ended()).end).toBe('closed');
    expect(await drained).toEqual({ finished: 0, refused: 0, cut: 0 });
  });

  it('refuses at once whose turn would come too late, with a time to come back', async () => {
    const set = ['quota.perSecond=2', 'quota.marginMs=0', 'quota.maxWaitMs=60000', 'cache.enabled=false'];
    const { gateway, emulator } = await startGateway({ set, emulator: { limiter: { algorithm: 'off' } } });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, 'x');
    const ends: number[] = [];
    const asked = Array.from({ length: 12 }, () =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).finally(() => ends.push(performance.now())),
    );
    await expect.poll(() => emulator.received().length).toBeGreaterThan(1);
    const drained = gateway.drain({ delayMs: 0, deadlineMs: 3000 });
    const replies = await Promise.all(asked);
    const refused = replies.filter(({ status }) => status === 503);
    expect(replies.filter(({ status }) => status === 200).length + refused.length).toBe(12);
    expect(refused.length).toBeGreaterThan(3);
    for (const reply of refused) {
      expect(errorOf(reply)).toBe(KINDS.DRAINING.message);
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    }
    // The refused have not waited for the end: most answers were out long before the last one.
    expect((ends.at(-1) ?? 0) - (ends[refused.length] ?? 0)).toBeGreaterThan(500);
    const told = await drained;
    expect([told.refused, told.cut]).toEqual([refused.length, 0]);
  });

  it('gives an answer, before its deadline, to an upload that does not come in and to one that Easemob does not answer', async () => {
    const { gateway, emulator, summaries } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    using half = await connectRaw(gateway.url);
    const fields = UPLOAD.map((field) => field.replace('<token>', token));
    await half.send(`${head(`POST ${CHATFILES} HTTP/1.1`, ...fields, 'Content-Length: 1000')}--b\r\n`);
    emulator.fault({ kind: 'hang', match: { method: 'POST' } });
    const { contentType, body } = multipartOf(fileOf(100));
    const sent = ask(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token, { 'content-type': contentType }),
      body,
    });
    await expect.poll(() => emulator.received().length).toBe(1);
    expect(await gateway.drain({ delayMs: 0, deadlineMs: 2000 })).toMatchObject({ refused: 2, cut: 0 });
    const [reply] = (await half.ended()).replies;
    expect([reply?.status, reply?.headers['retry-after']]).toEqual([503, '1']);
    // It may have been stored: whoever is told to come back would have it twice.
    expect((await sent).status).toBe(504);
    expect(summaries.map(({ error, decision }) => `${decision} ${error}`).toSorted()).toEqual([
      'allow DRAINING',
      'allow UPSTREAM_TIMEOUT',
    ]);
  });

  it('cuts a client that never reads, and says so', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, fileOf(9_000_000));
    const download = request(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).end();
    const [answer] = (await once(download, 'response')) as [IncomingMessage];
    const cut = once(answer, 'error');
    expect(await gateway.drain({ delayMs: 0, deadlineMs: 1000 })).toEqual({ finished: 0, refused: 0, cut: 1 });
    answer.resume();
    await cut;
  });

  it('is over at once when the gateway is closed', async () => {
    const { gateway } = await startGateway();
    using half = await connectRaw(gateway.url);
    await half.send('GET / HTTP/1.1\r\nHo');
    const drained = gateway.drain({ delayMs: 60_000, deadlineMs: 90_000 });
    await gateway[Symbol.asyncDispose]();
    expect(await drained).toEqual({ finished: 0, refused: 0, cut: 0 });
  });

  it('ends the process with code 1 where somebody was cut', async () => {
    const emulator = await createEmulator();
    onTestFinished(() => emulator[Symbol.asyncDispose]());
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, fileOf(9_000_000));
    await using gateway = await startGatewayProcess([`upstream.url=${emulator.url}`, 'drain.deadlineMs=1000']);
    const download = request(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).end();
    const [answer] = (await once(download, 'response')) as [IncomingMessage];
    answer.on('error', () => {});
    const output = await gateway.stop();
    expect(await gateway.exited).toBe(1);
    const line = output.split('\n').find((each) => each.includes('"msg":"drained'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({ level: 'warn', finished: 0, refused: 0, cut: 1 });
    // Its own line comes before the end, too.
    expect(output).toMatch(/"msg":"request".*"error":"DRAINING".*"reason":"cut at the end of the drain"/);
  });
});

describe('a drain of connections in TLS', () => {
  it('lets an answer come to its end, and closes what idles', async () => {
    await using ca = await createAuthority();
    const { certFile, keyFile } = await ca.issue('127.0.0.1');
    const { gateway, emulator } = await startGateway({
      set: [`listen.tls.certFile=${certFile}`, `listen.tls.keyFile=${keyFile}`],
    });
    const token = emulator.issueToken(ORG, APP);
    const large = fileOf(9_000_000);
    const { uuid } = await uploadTo(emulator.url, token, large);
    const port = Number(new URL(gateway.url).port);
    const idle = tlsConnect({ host: '127.0.0.1', port, ca: ca.cert });
    const idleClosed = once(idle.on('error', () => {}).resume(), 'close');
    await once(idle, 'secureConnect');
    const download = tlsRequest(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token), ca: ca.cert }).end();
    const [streamed] = (await once(download, 'response')) as [IncomingMessage];
    const drained = gateway.drain({ delayMs: 100, deadlineMs: 15_000 });
    await idleClosed;
    const chunks: Buffer[] = [];
    for await (const chunk of streamed) chunks.push(chunk as Buffer);
    expect(sha256(Buffer.concat(chunks))).toBe(sha256(large));
    expect(await drained).toEqual({ finished: 1, refused: 0, cut: 0 });
  });
});

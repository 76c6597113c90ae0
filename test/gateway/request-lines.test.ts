/** The log has one line for each request, however it ended, and each says what was decided and why. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ask, multipartOf } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { head, UPLOAD } from '../kit/hostile.ts';
import { connectRaw } from '../kit/raw-client.ts';

const decided = ({ decision, decisionReason }: { decision: string; decisionReason: string }) =>
  `${decision} ${decisionReason}`;

describe('one line', () => {
  it('is written of what is answered, refused by a policy, and failed by the upstream', async () => {
    const { gateway, emulator, summaries } = await startGateway({ set: ['destinations=o1/a1', 'retry.attempts=1'] });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, 'x');
    const url = `${gateway.url}${CHATFILES}`;
    await ask(`${url}/${uuid}`, { headers: bearer(token) });
    await ask(`${url}/${uuid}`);
    await ask(`${gateway.url}/o2/a2/chatfiles/${uuid}`, { headers: bearer(token) });
    await ask(`${url}/${uuid}`, { method: 'DELETE' });
    await ask(`${gateway.url}/nowhere`);
    const { contentType } = multipartOf(fileOf(1));
    const form = { 'content-type': contentType };
    await ask(url, { method: 'POST', headers: bearer(token, form), body: Buffer.from('no form at all') });
    emulator.fault({ kind: 'status', status: 500, times: 1 });
    await ask(`${url}/${uuid}`, { headers: bearer(token) });
    await ask(`${url}/${uuid}`, { headers: bearer('made-up') });
    await ask(`${url}/${uuid}`, { headers: bearer('made-up') });
    await expect.poll(() => summaries.length).toBe(9);
    expect(summaries.map(decided)).toEqual([
      'allow upstream',
      'deny TOKEN_MISSING',
      'deny DESTINATION_UNKNOWN',
      'deny METHOD_NOT_ALLOWED',
      'deny RESOURCE_UNKNOWN',
      'deny MULTIPART_MALFORMED',
      'allow upstream',
      'allow upstream',
      'deny TOKEN_REFUSED',
    ]);
    expect(new Set(summaries.map(({ id }) => id)).size).toBe(9);
  });

  it.each([
    ['what is no HTTP', 'nonsense\r\n\r\n', 'REQUEST_MALFORMED'],
    ['a method that nobody knows', 'FETCH / HTTP/1.1\r\nHost: h\r\n\r\n', 'METHOD_NOT_ALLOWED'],
    ['CONNECT', 'CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n', 'METHOD_NOT_ALLOWED'],
    ['a head that is too large', `GET / HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 'HEAD_TOO_LARGE'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n', 'RESOURCE_UNKNOWN'],
  ])('is written of %s', async (_case, text, reason) => {
    const { gateway, summaries } = await startGateway();
    using client = await connectRaw(gateway.url);
    await client.send(text);
    await expect.poll(() => summaries.map(decided)).toEqual([`deny ${reason}`]);
  });

  it('is written of a head that does not come to its end', async () => {
    const { gateway, summaries } = await startGateway({ set: ['limits.headTimeoutMs=300'] });
    using client = await connectRaw(gateway.url);
    await client.send('GET / HTTP/1.1\r\nHo');
    await client.ended();
    expect(summaries.map(decided)).toEqual(['allow REQUEST_TOO_SLOW']);
  });

  it('is written of clients that leave: in their upload, while the upstream is asked, and in the answer', async () => {
    const { gateway, emulator, summaries } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, fileOf(9_000_000));
    emulator.clearReceived();
    const upload = await connectRaw(gateway.url);
    const fields = UPLOAD.map((field) => field.replace('<token>', token));
    await upload.send(`${head(`POST ${CHATFILES} HTTP/1.1`, ...fields, 'Content-Length: 1000')}--b\r\n`);
    upload.reset();
    await expect.poll(() => summaries.length).toBe(1);

    const download = request(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).end();
    const [answer] = (await once(download, 'response')) as [NodeJS.ReadableStream];
    answer.on('error', () => {});
    download.destroy();
    await expect.poll(() => summaries.length).toBe(2);

    emulator.fault({ kind: 'hang', times: 1 });
    const hanging = request(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }).end();
    hanging.on('error', () => {});
    await expect.poll(() => emulator.received().length).toBe(2);
    hanging.destroy();
    await expect.poll(() => summaries.length).toBe(3);
    expect(summaries.map((summary) => [decided(summary), summary.status])).toEqual(
      Array.from({ length: 3 }, () => ['allow client', 499]),
    );
  });

  it('is not written of a connection on which nothing came', async () => {
    const { gateway, summaries } = await startGateway();
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.end();
    await once(socket, 'close');
    expect((await ask(`${gateway.url}/nowhere`)).status).toBe(404);
    expect(summaries).toHaveLength(1);
  });
});

import { describe, expect, it } from 'vitest';
import { APP, CHATFILES, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import {
  chunked,
  CHUNKED,
  DOWNLOADED,
  get,
  head,
  HONEST,
  type HostileCase,
  playHostile,
  post,
  UPLOAD,
  UPLOADED,
} from '../kit/hostile.ts';
import { connectRaw } from '../kit/raw-client.ts';

const [HOST, TOKEN, TYPE] = UPLOAD;
const NAMELESS = get({ target: '/canary' });
/** A refused upload whose body comes all the same. */
const refused = (...fields: string[]) => post({ fields });

const BEHIND: HostileCase[] = [
  {
    name: 'three honest requests in their order',
    bytes: get() + post() + get(),
    status: [200, 200, 200],
    reaches: [DOWNLOADED, UPLOADED, DOWNLOADED],
  },
  {
    name: 'three honest requests byte by byte',
    bytes: get() + post() + get(),
    inBytes: true,
    status: [200, 200, 200],
    reaches: [DOWNLOADED, UPLOADED, DOWNLOADED],
  },
  {
    name: 'an honest request behind one without a body that is refused',
    bytes: NAMELESS + get(),
    status: [404, 200],
    reaches: [DOWNLOADED],
  },
  {
    name: 'an honest request behind an upload that was whole and refused',
    bytes: post({ body: '--b--\r\n' }) + get(),
    status: [400, 200],
    reaches: [DOWNLOADED],
  },
  // Attack: the refusal says that it closes the connection, and the request behind it is carried out all the same.
  { name: 'a request behind an upload without a token', bytes: refused(HOST!, TYPE!) + get(), status: 401 },
  { name: 'an upload behind an upload without a token', bytes: refused(HOST!, TYPE!) + post(), status: 401 },
  { name: 'a request behind an upload of another type', bytes: refused(HOST!, TOKEN!) + get(), status: 415 },
  {
    name: 'a request behind a chunked upload that is refused',
    bytes: post({ fields: [HOST!], framing: CHUNKED, body: chunked(['canary']) }) + get(),
    status: 401,
  },
  {
    name: 'a request behind HTTP/1.0 with chunks',
    bytes: post({ version: 'HTTP/1.0', framing: CHUNKED, body: chunked(['x']) }) + get(),
    status: 400,
  },
  {
    name: 'a request behind an unknown transfer coding',
    bytes: post({ framing: ['Transfer-Encoding: gzip, chunked'], body: chunked(['x']) }) + get(),
    status: 501,
  },
  { name: 'a request behind HTTP/2.0 as text', bytes: get({ version: 'HTTP/2.0' }) + get(), status: 505 },
  { name: 'a request behind GET with a body', bytes: `${get({}, 'Content-Length: 6')}canary${get()}`, status: 400 },
  {
    name: 'a request behind an honest one that closes',
    bytes: get({}, 'Connection: close') + get(),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'a request behind HTTP/1.0',
    bytes: get({ version: 'HTTP/1.0' }) + get(),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'a request behind a body that cannot be read',
    bytes: post({ framing: CHUNKED, body: 'xyz\r\n' }) + get(),
    status: 400,
  },
  // Attack: the refusal of what comes later overtakes the honest answer, and is taken for it.
  {
    name: 'junk behind an honest request',
    bytes: `${get()}canary canary\r\n\r\n`,
    status: [200, 400],
    reaches: [DOWNLOADED],
  },
  {
    name: 'junk in pieces behind an honest request',
    bytes: [get(), 'canary', ' canary\r\n', '\r\n', get()],
    status: [200, 400],
    reaches: [DOWNLOADED],
  },
  {
    name: 'junk behind two honest requests',
    bytes: `${get()}${get()}canary\r\n\r\n`,
    status: [200, 200, 400],
    reaches: [DOWNLOADED, DOWNLOADED],
  },
  { name: 'junk behind a refused upload', bytes: `${refused(HOST!, TYPE!)}canary\r\n\r\n`, status: 401 },
  {
    name: 'an endless head behind an honest request',
    bytes: get() + get({}, `X: ${'canary'.repeat(5000)}`),
    status: [200, 431],
    reaches: [DOWNLOADED],
  },
  {
    name: 'half a head behind an honest request',
    bytes: get() + get().slice(0, -2),
    status: [200, 408],
    reaches: [DOWNLOADED],
  },
  {
    name: 'CONNECT behind an honest request',
    bytes: `${get()}${head('CONNECT canary:1 HTTP/1.1', 'Host: h')}`,
    status: [200, 405],
    reaches: [DOWNLOADED],
  },
  {
    name: 'a hundred honest requests',
    bytes: get().repeat(10) + NAMELESS.repeat(90),
    status: [...Array<number>(10).fill(200), ...Array<number>(90).fill(404)],
    reaches: Array.from({ length: 10 }, () => DOWNLOADED),
  },
];

describe('on one connection,', () => {
  it.each(BEHIND)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

describe('a client that sends requests ahead', () => {
  it('and vanishes costs the upstream no more than the one under way', async () => {
    // Attack: a hundred requests in one packet and a reset, again and again, would use up the quota of everybody.
    const { gateway, emulator, summaries } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    emulator.fault({ kind: 'hang', times: 1 });
    using client = await connectRaw(gateway.url);
    const fields = HONEST.map((field) => field.replace('<token>', token));
    await client.send(get({ target: `${CHATFILES}/x`, fields }).repeat(100));
    await expect.poll(() => emulator.received().length).toBe(1);
    client.reset();
    await expect.poll(() => summaries.length).toBe(1);
    expect(summaries[0]).toMatchObject({ error: 'CLIENT_GONE', status: 499 });
    const response = await fetch(`${gateway.url}/canary`);
    expect(response.status).toBe(404);
    expect(emulator.received()).toHaveLength(1);
  });

  it('in thousands is cut off', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    using client = await connectRaw(gateway.url);
    const fields = HONEST.slice(0, 2).map((field) => field.replace('<token>', token));
    await client.send(get({ target: `${CHATFILES}/x`, fields }).repeat(3000));
    const { replies } = await client.ended();
    expect(replies.length).toBeLessThan(3000);
    expect(emulator.received().length).toBeLessThan(30);
  });

  it('during a drain is told to come back on another connection, and nothing behind that begins', async () => {
    const { gateway, emulator } = await startGateway();
    const token = emulator.issueToken(ORG, APP);
    emulator.fault({ kind: 'latency', ms: 100, times: 1 });
    using client = await connectRaw(gateway.url);
    const fields = HONEST.slice(0, 2).map((field) => field.replace('<token>', token));
    await client.send(get({ target: `${CHATFILES}/x`, fields }).repeat(3));
    await expect.poll(() => emulator.received().length).toBe(1);
    await gateway.drain();
    const { replies } = await client.ended();
    expect(replies.map(({ status, headers }) => [status, headers['connection']])).toEqual([[404, 'close']]);
    expect(emulator.received()).toHaveLength(1);
  });
});

describe('a client that keeps its connection', () => {
  it('and sends nothing more is let go after limits.keepAliveMs', async () => {
    const { gateway } = await startGateway({ set: ['limits.keepAliveMs=100', 'limits.bodyIdleMs=60000'] });
    using client = await connectRaw(gateway.url);
    await client.send(get({ target: '/canary', fields: ['Host: h'] }));
    const { replies, end } = await client.ended();
    expect([replies.map(({ status }) => status), end]).toEqual([[404], 'closed']);
  });

  it('is not cut while the upstream takes its time', async () => {
    const { gateway, emulator } = await startGateway({ set: ['limits.bodyIdleMs=50', 'limits.keepAliveMs=50'] });
    const token = emulator.issueToken(ORG, APP);
    emulator.fault({ kind: 'latency', ms: 300, times: 1 });
    using client = await connectRaw(gateway.url);
    const fields = HONEST.slice(0, 2).map((field) => field.replace('<token>', token));
    await client.send(get({ target: `${CHATFILES}/x`, fields }));
    expect((await client.replies(1)).replies[0]?.status).toBe(404);
  });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Selector } from '../../src/cache/entry.ts';
import { createAdmin } from '../../src/server/admin.ts';
import { createRecent } from '../../src/server/recent.ts';
import { connectRaw } from '../kit/raw-client.ts';

const TOKEN = 'the-operators-own-token';
const STATS = { cache: { memory: { entries: 7 } }, access: { tokens: 3 } };

/** The second port alone; what it purges is written down. */
async function start({ token }: { token: string | undefined } = { token: TOKEN }) {
  const purged: Selector[] = [];
  const guesses: string[] = [];
  const server = createServer(
    createAdmin({
      health: { tell: () => ({ status: 'ready', isReady: true, hasStarted: true, checks: [] }) },
      metrics: () => Promise.resolve({ contentType: 'text/plain', text: '' }),
      token,
      hosts: ['localhost', '127.0.0.1', '[::1]', 'gateway.internal'],
      tellGuess: (peer) => void guesses.push(peer),
      acts: () => ({
        stats: () => STATS as never,
        purge(selector) {
          purged.push(selector);
          return Promise.resolve({ isLasting: true, others: 'none known' });
        },
        explain: ({ path }) => ({ decision: 'allow', decisionReason: 'upstream', status: undefined, steps: [], path }),
        recent: createRecent(),
      }),
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  /** Sends a request line and fields as they are, but for `Connection: close`. */
  const ask = async (line: string, ...fields: string[]) => {
    using client = await connectRaw(url, { isHead: () => line.startsWith('HEAD') });
    await client.send(`${[line, ...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`);
    const { replies, text } = await client.ended();
    const [reply] = replies;
    return { status: reply?.status, headers: reply?.headers ?? {}, body: reply?.body.toString() ?? '', text };
  };
  return { ask, purged, guesses };
}

const HOST = 'Host: localhost:9090';
const OPERATOR = `Authorization: Bearer ${TOKEN}`;

describe("the operator's routes", () => {
  it('tell of whoever comes with a wrong token, and not of one who has none', async () => {
    const { ask, guesses } = await start();
    expect((await ask('GET /cache HTTP/1.1', HOST)).status).toBe(401);
    expect(guesses).toEqual([]);
    expect((await ask('GET /cache HTTP/1.1', HOST, 'Authorization: Bearer guessed')).status).toBe(401);
    expect(guesses).toEqual(['127.0.0.1']);
    expect((await ask('GET /cache HTTP/1.1', HOST, `authorization: bearer ${TOKEN}`)).status).toBe(200);
  });

  it('show the counters', async () => {
    const { ask } = await start();
    const { status, headers, body } = await ask('GET /cache HTTP/1.1', HOST, OPERATOR);
    expect([status, JSON.parse(body)]).toEqual([200, STATS]);
    expect(headers['content-type']).toMatch(/^application\/json/);
    expect((await ask('HEAD /cache HTTP/1.1', HOST, OPERATOR)).status).toBe(200);
  });

  it.each<[string, string, Selector]>([
    ['everything', '/cache', {}],
    ['an app', '/cache/my-org/my-app', { app: 'my-org/my-app' }],
    ['a file', '/cache/my-org/my-app/0a0b-0c', { app: 'my-org/my-app', file: '0a0b-0c' }],
  ])('purge %s', async (_case, path, selector) => {
    const { ask, purged } = await start();
    const { status, body } = await ask(`DELETE ${path} HTTP/1.1`, HOST, OPERATOR);
    expect([status, JSON.parse(body)]).toEqual([200, { purged: selector, isLasting: true, others: 'none known' }]);
    expect(purged).toEqual([selector]);
  });

  it.each([
    ['an org alone', 'DELETE /cache/my-org'],
    ['a slash at the end', 'DELETE /cache/'],
    ['a slash behind an app', 'DELETE /cache/my-org/my-app/'],
    ['an empty org', 'DELETE /cache//my-app'],
    ['more than a file', 'DELETE /cache/my-org/my-app/0a0b/thumbnail'],
    ['another case', 'DELETE /CACHE'],
  ])('do not know %s', async (_case, line) => {
    const { ask, purged } = await start();
    expect((await ask(`${line} HTTP/1.1`, HOST, OPERATOR)).status).toBe(404);
    expect(purged).toEqual([]);
  });

  it.each([
    ['POST /cache', 'GET, HEAD, DELETE'],
    ['GET /cache/my-org/my-app', 'DELETE'],
    ['PUT /explain', 'GET, HEAD, POST'],
    ['DELETE /explain/an-id', 'GET, HEAD'],
  ])('name the methods that there are: %s', async (line, allow) => {
    const { ask, purged } = await start();
    const { status, headers, body } = await ask(`${line} HTTP/1.1`, HOST, OPERATOR);
    expect([status, headers['allow'], JSON.parse(body)]).toEqual([
      405,
      allow,
      { message: `This path knows only ${allow}.` },
    ]);
    expect(purged).toEqual([]);
  });

  it('do not show a stack for a path that cannot be decoded', async () => {
    const { ask, purged } = await start();
    const { status, text } = await ask('DELETE /cache/%zz/my-app HTTP/1.1', HOST, OPERATOR);
    expect([status, /node_modules|\bat \w+|\/src\//.test(text)]).toEqual([400, false]);
    expect(purged).toEqual([]);
  });
});

const REQUESTS = [
  'GET /cache',
  'HEAD /cache',
  'DELETE /cache',
  'DELETE /cache/o/a',
  'DELETE /cache/o/a/f',
  'GET /cache/x',
  'GET /explain',
  'GET /explain/x',
  'POST /explain',
];

describe('who is not the operator', () => {
  it.each([
    ['no token', []],
    ['an empty field', ['Authorization:']],
    ['another token', ['Authorization: Bearer another-token-of-theirs']],
    ['a part of the token', [`Authorization: Bearer ${TOKEN.slice(0, -1)}`]],
    ['more than the token', [`Authorization: Bearer ${TOKEN}x`]],
    ['the token in another case', [`Authorization: Bearer ${TOKEN.toUpperCase()}`]],
    ['the token without its scheme', [`Authorization: ${TOKEN}`]],
    ['another scheme', [`Authorization: Basic ${TOKEN}`]],
    ['the token in a cookie', [`Cookie: token=${TOKEN}`]],
    ['two tokens', ['Authorization: Bearer another-token-of-theirs', OPERATOR]],
  ])('by %s is refused', async (_case, fields) => {
    const { ask, purged } = await start();
    for (const request of REQUESTS) {
      const { status, headers, text } = await ask(`${request} HTTP/1.1`, HOST, ...fields);
      expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer']);
      expect(text).not.toContain(TOKEN);
    }
    expect((await ask(`GET /cache?token=${TOKEN} HTTP/1.1`, HOST)).status).toBe(401);
    expect(purged).toEqual([]);
  });

  it('is everybody where no token is configured', async () => {
    const { ask, purged } = await start({ token: undefined });
    for (const fields of [[], [OPERATOR], ['Authorization: Bearer undefined'], ['Authorization: Bearer ']]) {
      for (const request of REQUESTS) expect((await ask(`${request} HTTP/1.1`, HOST, ...fields)).status).toBe(403);
    }
    expect(purged).toEqual([]);
  });
});

// A page on a name of the attacker's that points to 127.0.0.1 is of the same origin as this port, to a browser.
describe('a Host that is not this port', () => {
  it.each([
    ["a name of the attacker's", ['Host: rebound.example']],
    ['a name that begins like ours', ['Host: localhost.example:9090']],
    ['another address', ['Host: 192.0.2.1:9090']],
    ['nothing', ['Host:']],
    ['another one, whatever a proxy is said to have got', ['Host: rebound.example', 'X-Forwarded-Host: localhost']],
  ])('is refused, though the token is right: %s', async (_case, fields) => {
    const { ask, purged } = await start();
    for (const request of REQUESTS) {
      expect((await ask(`${request} HTTP/1.1`, ...fields, OPERATOR)).status).toBe(421);
    }
    expect(purged).toEqual([]);
  });

  it('is refused when there is none at all, as HTTP/1.0 has it', async () => {
    const { ask, purged } = await start();
    const { status, text } = await ask('DELETE /cache HTTP/1.0', OPERATOR);
    expect([status, text.includes('node_modules')]).toEqual([421, false]);
    expect(purged).toEqual([]);
  });

  it.each(['localhost', 'LOCALHOST:9090', '127.0.0.1', '127.0.0.1:1', '[::1]:9090', 'gateway.internal:9090'])(
    '%s is this port',
    async (host) => {
      const { ask } = await start();
      expect((await ask('GET /cache HTTP/1.1', `Host: ${host}`, OPERATOR)).status).toBe(200);
    },
  );

  it('still learns whether the gateway is alive and ready, and no more', async () => {
    const { ask } = await start();
    for (const path of ['/livez', '/readyz', '/healthz', '/startupz']) {
      expect((await ask(`GET ${path} HTTP/1.1`, 'Host: x')).status).toBe(200);
    }
  });
});

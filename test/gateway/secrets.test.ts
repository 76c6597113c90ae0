import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { APP, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { startRawUpstream } from '../kit/raw-upstream.ts';

const UUID = '0a0b0c0d-1111-2222-3333-444455556666';
const SET = [
  'quota.perSecond=5000',
  'upstream.answerTimeoutMs=1000',
  'upstream.idleTimeoutMs=1000',
  'retry.attempts=1',
  'retry.throttledAttempts=1',
  'limits.discardMs=300',
  'limits.headTimeoutMs=1000',
  'tokens.anonymousDownloads=withSecret',
];

/** Makes secrets that no two are alike, and finds them again, whole or in part, in the spellings that a text may have. */
function createSecrets() {
  const cores: [place: string, core: string][] = [];
  const remember = (place: string, core: string): string => {
    cores.push([place, core]);
    return core;
  };
  return {
    plant: (place: string): string => remember(place, randomBytes(36).toString('base64url').replaceAll(/[-_]/g, 'x')),
    remember,
    foundIn(text: string): string[] {
      const isIn = (core: string) => text.includes(core.slice(0, 20)) || text.includes(core.slice(-20));
      return cores.filter(([, core]) => isIn(core)).map(([place]) => place);
    },
  };
}

/** Sends bytes as they are, and gives all that comes back until the other side closes. */
async function sendRaw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {}).on('end', () => socket.end());
  const closed = once(socket, 'close');
  socket.write(bytes, 'latin1');
  await closed;
  return text;
}

type Plant = (place: string) => string;

const FILE = `${CHATFILES}/${UUID}`;

/** A request as text; `Connection: close` lets the answer be read to its end. */
function head(line: string, fields: string[] = [], body = ''): string {
  const length = body === '' ? [] : [`Content-Length: ${body.length}`];
  return `${[line, ...(fields.some((field) => /^host:/i.test(field)) ? [] : ['Host: x']), 'Connection: close', ...length, ...fields].join('\r\n')}\r\n\r\n${body}`;
}

const get = (path: string, ...fields: string[]): string => head(`GET ${path} HTTP/1.1`, fields);

function post(contentType: string, body: string, ...fields: string[]): string {
  return head(`POST ${CHATFILES} HTTP/1.1`, [`Content-Type: ${contentType}`, ...fields], body);
}

const part = (boundary: string, disposition: string, type: string, more = ''): string =>
  `--${boundary}\r\nContent-Disposition: ${disposition}\r\nContent-Type: ${type}\r\n${more}\r\nbytes\r\n--${boundary}--\r\n`;

/** Every place where a client can put something, good or bad; `bearer` is a header with a token that is good. */
function requests(plant: Plant, bearer: string): string[] {
  const token = () => `YWMt${plant('token')}`;
  return [
    get(FILE, `Authorization: Bearer ${token()}`),
    get(FILE, `authorization: bearer   ${token()}`),
    get(FILE, `Authorization: Basic ${plant('basic')}`),
    get(FILE, `Authorization: Token ${plant('scheme')}`),
    get(FILE, `Authorization: Bearer ${plant('two words')} ${plant('second word')}`),
    get(FILE, `Authorization: Bearer "${plant('quoted')}"`),
    get(FILE, `Authorization: ${plant('scheme itself')}`),
    get(FILE, `Authorization: Bearer ${plant('long').repeat(120)}`),
    get(FILE, `Authorization: Bearer ${token()}`, `Authorization: Bearer ${token()}`),
    get(FILE, `Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.${plant('jwt')}.${plant('signature')}`),
    get(FILE, `Authorization: Bearer 007${plant('agora')}${plant('agora')}`),
    get(FILE, `Proxy-Authorization: Bearer ${plant('proxy')}`),

    get(FILE, bearer, `share-secret: ${plant('header')}`),
    get(FILE, bearer, `Share-Secret: ${plant('header')} ${plant('with space')}`),
    get(FILE, bearer, `share-secret: ${plant('twice')}`, `share-secret: ${plant('twice')}`),
    get(FILE, bearer, `share_secret: ${plant('underscore')}`),
    get(`${FILE}?share-secret=${plant('query')}`, bearer),
    get(`${FILE}?%73hare-secret=${plant('encoded name')}`, bearer),
    get(`${FILE}?SHARE-SECRET=${plant('capitals')}`, bearer),
    get(`${FILE}?share_secret=${plant('query underscore')}`, bearer),
    get(`${FILE}?share-secret=${plant('ambiguous')}&share-secret=${plant('ambiguous')}`, bearer),
    get(`${FILE}?share-secret=${plant('differs')}`, bearer, `share-secret: ${plant('differs')}`),
    get(`${FILE}?share-secret=%zz${plant('broken encoding')}`, bearer),
    get(`${FILE}?em-redirect=true&share-secret=${plant('tag')}&thumbnail=true`, bearer),
    get(`${FILE}?thumbnail=true&x=1;share-secret=${plant('behind a semicolon')}`, bearer),
    get(`${FILE}?share-secret=${plant('with a plus')}+x&vframe=true`, bearer),
    get(`${FILE}?em-redirect=true&share-secret=${plant('tag without token')}&thumbnail=true`),
    get(`${FILE}?em-redirect=https://x/?share-secret=${plant('redirect wish')}`, bearer),
    get(`${FILE}?${plant('parameter name')}=1`, bearer),
    get(`${FILE}?access_token=${plant('access_token')}`, bearer),
    get(`${FILE}?callback=${plant('callback')}`, bearer),
    get(`${FILE}#${plant('fragment')}`, bearer),

    get(`/${plant('org')}/${APP}/chatfiles/${UUID}`, bearer),
    get(`/${ORG}/${plant('app')}/chatfiles/${UUID}`, bearer),
    get(`${CHATFILES}/${plant('uuid')}`, bearer),
    get(`/${plant('path')}`, bearer),
    get(`/../${plant('traversal')}/%2e%2e/x`, bearer),
    get(`http://user:${plant('userinfo')}@x${FILE}`, bearer),
    get(`/${ORG}/${APP}/users/${plant('other resource')}`, bearer),

    get(FILE, bearer, `Cookie: rememberMe=${plant('cookie')}`),
    get(FILE, bearer, `User-Agent: ${plant('agent')}`),
    get(FILE, bearer, `Referer: https://x/?share-secret=${plant('referer')}`),
    get(FILE, bearer, `Origin: https://${plant('origin')}`),
    get(FILE, bearer, `X-Forwarded-For: ${plant('forwarded')}`),
    get(FILE, bearer, `X-Request-Id: ${plant('request id')}`),
    get(FILE, bearer, `X-${plant('field name')}: 1`),
    get(FILE, bearer, `Range: ${plant('range')}`),
    get(FILE, bearer, `If-None-Match: "${plant('validator')}"`),
    get(FILE, bearer, `thumbnail: ${plant('thumbnail')}`),
    get(FILE, bearer, `Host: ${plant('host')}.example`),
    get(FILE, bearer, `Host: ${plant('bad host')}/@`),
    get(FILE, bearer, `Expect: ${plant('expectation')}`),
    get(FILE, bearer, `Connection: ${plant('connection option')}`),
    get(FILE, bearer, `Content-Length: ${plant('length')}`),
    get(FILE, bearer, `Transfer-Encoding: ${plant('coding')}`),

    head(`${plant('method')} ${FILE} HTTP/1.1`, [bearer]),
    head(`DELETE ${FILE}?x=${plant('method with query')} HTTP/1.1`, [bearer]),
    head(`CONNECT ${plant('connect')}:443 HTTP/1.1`, [bearer]),
    head(`GET ${FILE} HTTP/9.${plant('version')}`, [bearer]),
    `${plant('not http')}\r\n\r\n`,
    `GET ${FILE} HTTP/1.1\r\n${plant('no colon')}\r\n\r\n`,
    `GET ${FILE} HTTP/1.1\r\nHost: x\r\nX: a\u0001${plant('control')}\r\n\r\n`,
    `GET ${FILE} HTTP/1.1\r\nHost: x\r\nX: ${plant('folded')}\r\n ${plant('fold')}\r\n\r\n`,
    `GET ${FILE} HTTP/1.1\r\nHost: x\r\nX: ${plant('huge').repeat(400)}\r\n\r\n`,
    `GET /${plant('huge path').repeat(400)} HTTP/1.1\r\nHost: x\r\n\r\n`,

    post(`text/${plant('type')}`, 'x', bearer),
    post(`multipart/form-data; boundary=${plant('no boundary')}`, plant('body'), bearer),
    post('multipart/form-data', plant('body without boundary'), bearer),
    post(
      'multipart/form-data; boundary=b',
      part('b', `form-data; name="file"; filename="${plant('filename')}"`, 'x/y'),
      bearer,
    ),
    post('multipart/form-data; boundary=b', part('b', `form-data; name="${plant('part name')}"`, 'x/y'), bearer),
    post(
      'multipart/form-data; boundary=b',
      part('b', `form-data; name="file"; filename="a"`, plant('part type')),
      bearer,
    ),
    post(
      'multipart/form-data; boundary=b',
      part('b', `form-data; name="file"; filename="a"`, 'x/y', `X-${plant('part field')}: ${plant('part value')}\r\n`),
      bearer,
    ),
    post(
      'multipart/form-data; boundary=b',
      part('b', plant('disposition'), 'x/y'),
      bearer,
      `restrict-access: ${plant('restrict')}`,
    ),
    post('multipart/form-data; boundary=b', 'x', bearer, `Content-Encoding: ${plant('content coding')}`),
    post(
      'multipart/form-data; boundary=b',
      part('b', 'form-data; name="file"; filename="a"', 'x/y'),
      `Authorization: Bearer ${token()}`,
    ),
  ];
}

/** What an upstream may say with a secret in it; of JSON, the body itself is the client's to see. */
function answers(plant: Plant): string[] {
  const html = (status: string) => `HTTP/1.1 ${status}\r\nContent-Type: text/html\r\nConnection: close\r\n`;
  return [
    `${html(`500 ${plant('reason phrase')}`)}\r\n<p>${plant('page')}</p>`,
    `${html('403 X')}WWW-Authenticate: Bearer realm="${plant('realm')}"\r\n\r\n<p>`,
    `${html('404 X')}Set-Cookie: session=${plant('session')}\r\n\r\n`,
    `${html('503 X')}Retry-After: ${plant('retry-after')}\r\n\r\n${plant('503 page')}`,
    `${html('302 X')}Location: http://127.0.0.1:9/?share-secret=${plant('location')}\r\n\r\n`,
    `${html('302 X')}Location: https://files.invalid/${plant('followed path')}?Signature=${plant('signature')}\r\n\r\n`,
    `${html('302 X')}Location: https://${plant('user')}:${plant('password')}@files.invalid/\r\n\r\n`,
    `${html('302 X')}Location: https://elsewhere.invalid/${plant('unlisted path')}#${plant('fragment')}\r\n\r\n`,
    `${html('302 X')}Location: ${plant('relative')}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nContent-Length: ${plant('bad length')}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${plant('no colon')}\r\n\r\n`,
    `${plant('garbage')}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nX-${plant('name')}: ${plant('value')}\r\nServer: ${plant('server')}\r\nContent-Length: 2\r\n\r\nok`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz;${plant('chunk extension')}\r\n\r\n`,
    `HTTP/1.1 429 X\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"error":"x"${plant('cut json')}`,
    `HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n${plant('cut body')}`,
  ];
}

/** The lines of a log, each of which must be JSON and short. */
function readLog(output: string): Record<string, unknown>[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(2048);
      return JSON.parse(line) as Record<string, unknown>;
    });
}

function expectOneLineEach(replies: string[], output: string): void {
  const ids = replies.flatMap((reply) => /^x-request-id: (.+)\r$/im.exec(reply)?.[1] ?? []);
  const lines = readLog(output).filter(({ id }) => id !== undefined);
  expect(lines).toHaveLength(ids.length);
  expect(new Set(lines.map(({ id }) => id))).toEqual(new Set(ids));
}

describe('a secret', () => {
  it('that a client puts anywhere into a request is in no answer and in no line of the log', async () => {
    const emulator = await createEmulator({ limiter: { algorithm: 'off' } });
    onTestFinished(() => emulator[Symbol.asyncDispose]());
    const gateway = await startGatewayProcess([...SET, `upstream.url=${emulator.url}`]);
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    const secrets = createSecrets();
    const token = secrets.remember('good token', emulator.issueToken(ORG, APP));
    const { uuid, secret = '' } = await uploadTo(gateway.url, token, 'private bytes', { 'restrict-access': 'true' });
    secrets.remember('share-secret of a file', secret);
    const bearer = `Authorization: Bearer ${token}`;

    const replies: string[] = [];
    for (const request of requests(secrets.plant, bearer)) replies.push(await sendRaw(gateway.url, request));
    const own = await sendRaw(gateway.url, get(`${CHATFILES}/${uuid}?share-secret=${secret}`, bearer));
    expect(own).toMatch(/^HTTP\/1\.1 200 OK[^]*private bytes$/);
    expect(replies.filter((reply) => !/^HTTP\/1\.1 \d{3} /.test(reply))).toEqual([]);
    expect(replies.filter((reply) => reply.startsWith('HTTP/1.1 500'))).toEqual([]);
    expect(secrets.foundIn([...replies, own].join('\n'))).toEqual([]);

    const output = await gateway.stop();
    expect(secrets.foundIn(output)).toEqual([]);
    const upload = /"id":"([^"]+)"[^\n]*"route":"upload"/.exec(output)?.[1] ?? '';
    expectOneLineEach([...replies, own, `x-request-id: ${upload}\r\n`], output);
  });

  it('that a failing upstream gives away is in no answer and in no line of the log', async () => {
    const secrets = createSecrets();
    const bad = answers(secrets.plant);
    const upstream = await startRawUpstream(
      ({ socket }, count) => void socket.end(bad[(count - 1) % bad.length] ?? ''),
    );
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const follow = ['redirects.hosts=files.invalid', 'upstream.connectTimeoutMs=1000'];
    const gateway = await startGatewayProcess([...SET, ...follow, `upstream.url=${upstream.url}`]);
    onTestFinished(() => gateway[Symbol.asyncDispose]());

    const replies: string[] = [];
    const bearer = `Authorization: Bearer YWMt${secrets.plant('token')}`;
    const upload = post(
      'multipart/form-data; boundary=b',
      part('b', 'form-data; name="file"; filename="a"', 'x/y'),
      bearer,
    );
    for (const _ of bad) replies.push(await sendRaw(gateway.url, get(FILE, bearer)));
    for (const _ of bad) replies.push(await sendRaw(gateway.url, upload));
    expect(upstream.requests).toHaveLength(2 * bad.length);
    expect(secrets.foundIn(replies.join('\n'))).toEqual([]);

    const output = await gateway.stop();
    expect(secrets.foundIn(output)).toEqual([]);
    expectOneLineEach(replies, output);
  });

  it('in the address of the upstream is not told to clients when the upstream is away', async () => {
    const gateway = await startGatewayProcess([
      ...SET,
      'upstream.connectTimeoutMs=1000',
      'upstream.url=https://no-such-name.invalid:9',
    ]);
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    const reply = await sendRaw(gateway.url, get(FILE, 'Authorization: Bearer YWMtx'));
    expect(reply).toMatch(/^HTTP\/1\.1 50[24] /);
    expect(reply).not.toMatch(/no-such-name|invalid:9/);
  });
});

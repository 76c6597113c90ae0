/** What needs no SDK: command lines of Easemob's page, and the HTTP libraries that apps and servers are written with. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { APP, CHATFILES, ORG, type Uploaded } from '../kit/easemob.ts';
import { type Running, type RunOptions, startGateway } from '../kit/gateway.ts';
import { isOnPath } from '../kit/servers.ts';
import { expectToldInDocs, recordRequests } from './kit/recording.ts';

const run = promisify(execFile);
const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const PICTURE = pathOf('../../samples/picture.jpg');
const picture = await readFile(PICTURE);

describe('curl, with the lines of Easemob’s page', () => {
  it('uploads, downloads, and has the thumbnail', async () => {
    const { gateway, token, requests, folder } = await setUp();
    const curl = (line: string) => shell(line, folder, { TOKEN: token, URL: `${gateway.url}${CHATFILES}` });
    const { stdout, stderr } = await curl(
      `curl --verbose --header "Authorization: Bearer $TOKEN" --header "restrict-access:true" --form file=@${PICTURE} $URL`,
    );
    expect(stderr).toContain('200 OK');
    const { uri, entities } = JSON.parse(stdout) as Uploaded;
    expect(uri).toBe(`${gateway.url}${CHATFILES}`);
    const [{ uuid, 'share-secret': secret }] = entities;

    const asBearer = `-H "share-secret: ${secret}" --header "Authorization: Bearer $TOKEN"`;
    await curl(`curl -O ${asBearer} -H "Accept: application/octet-stream" $URL/${uuid}`);
    expect(await readFile(join(folder, uuid))).toEqual(picture);
    await curl(`curl -O -H "thumbnail: true" ${asBearer} -H "Accept: application/octet-stream" $URL/${uuid}`);
    expect((await stat(join(folder, uuid))).size).toBeLessThan(20_000);
    expectToldInDocs('curl', requests);
  });

  it('may set a boundary of its own, as some copies of the page do; curl then sends two', async () => {
    const { gateway, token, folder } = await setUp();
    const { stdout } = await shell(
      `curl -X POST $URL -H "content-type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW" ` +
        `-H "Authorization: Bearer $TOKEN" -H "restrict-access: true" -F file=@${PICTURE}`,
      folder,
      { TOKEN: token, URL: `${gateway.url}${CHATFILES}` },
    );
    const { uri, entities } = JSON.parse(stdout) as Uploaded;
    expect(uri).toBe(`${gateway.url}${CHATFILES}`);
    expect(entities[0]['share-secret']).toMatch(/^[\w-]{48}$/);
  });
});

describe('Node', () => {
  it('uploads with fetch and FormData, and downloads', async () => {
    const { gateway, token, requests } = await setUp();
    const form = new FormData();
    form.append('file', new File([picture], 'picture.jpg', { type: 'image/jpeg' }));
    const headers = { Authorization: `Bearer ${token}`, 'restrict-access': 'true' };
    const uploaded = await fetch(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body: form });
    const { uri, entities } = (await uploaded.json()) as Uploaded;
    const [{ uuid, 'share-secret': secret = '' }] = entities;
    const ask = (more: Record<string, string>) =>
      fetch(`${uri}/${uuid}`, {
        headers: {
          Authorization: `Bearer ${token}`,
          'share-secret': secret,
          Accept: 'application/octet-stream',
          ...more,
        },
      });
    const file = await ask({});
    expect(file.headers.get('content-length')).toBe(String(picture.length));
    expect(Buffer.from(await file.arrayBuffer())).toEqual(picture);
    expect((await (await ask({ thumbnail: 'true' })).arrayBuffer()).byteLength).toBeLessThan(20_000);
    expectToldInDocs('Node fetch', requests);
  });
});

/** Programs beside these tests that upload a file, download it and its thumbnail, and print what they got as JSON. */
const PROGRAMS = [
  { name: 'Python urllib', command: 'python3', args: [pathOf('./programs/client.py')] },
  {
    name: 'Java HttpClient',
    command: 'java',
    // It is one small program: no time is to be spent on optimising it.
    args: ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto', pathOf('./programs/Client.java')],
  },
];

describe.each(PROGRAMS.filter(({ command }) => isOnPath(command)))('$name', ({ name, command, args }) => {
  it('uploads, downloads, has the thumbnail, and reads why a file is refused', async () => {
    const { gateway, token, requests, folder } = await setUp({ set: ['limits.fileBytes=512KB'] });
    const { stdout } = await run(command, [...args, `${gateway.url}${CHATFILES}`, token, PICTURE], { cwd: folder });
    const told = JSON.parse(stdout) as Record<string, unknown>;
    expect(told).toMatchObject({
      uri: `${gateway.url}${CHATFILES}`,
      downloaded: picture.length,
      announced: picture.length,
      isSame: true,
      refusal: 413,
      refusalText: 'the file size exceeds the maximum limit.',
    });
    expect(told['thumbnail']).toBeLessThan(20_000);
    expectToldInDocs(name, requests);
  });
});

it.each(PROGRAMS.filter(({ command }) => !isOnPath(command)))(
  '$name is not tried: there is no $command on this machine',
  ({ command }) => expect(isOnPath(command)).toBe(false),
);

describe('clients that cannot run here, by the shape of what they send', () => {
  // Old Android SDKs: other parts before the file, a boundary of stars, no Content-Length.
  it('Android of old: parts before the file, in chunks', async () => {
    const { gateway, emulator, token } = await setUp();
    const part = (name: string, value: string) =>
      `--*****\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const answer = await post(`${gateway.url}${CHATFILES}`, {
      headers: {
        Authorization: `Bearer ${token}`,
        'restrict-access': 'true',
        'Content-Type': 'multipart/form-data; charset=utf-8; boundary=*****',
        'Transfer-Encoding': 'chunked',
      },
      body: [
        part('app', `${ORG}#${APP}`) + part('id', 'ann') + part('path', '/chatfiles/'),
        '--*****\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n',
        picture,
        '\r\n--*****--\r\n',
      ],
    });
    expect(answer.status).toBe(200);
    expect(emulator.received().map(({ bytesIn }) => bytesIn)).toEqual([answer.sent]);
  });

  // It sends the file's name before the file, and builds the address of the file out of `uri`.
  it('the Java server SDK: a field before the file, and the file at the address that the answer names', async () => {
    const { gateway, token } = await setUp();
    const form = new FormData();
    form.append('filename', 'picture.jpg');
    form.append('file', new Blob([picture], { type: 'image/jpeg' }), 'picture.jpg');
    const headers = { Authorization: `Bearer ${token}` };
    const uploaded = await fetch(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: { ...headers, 'restrict-access': 'true' },
      body: form,
    });
    const { uri, entities } = (await uploaded.json()) as Uploaded;
    // It has no secret to send along, and says of the refusal what its description says.
    const refused = await fetch(`${uri}/${entities[0].uuid}`, { headers, redirect: 'error' });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error_description: 'chatfile no permission' });
  });

  // wx.uploadFile: no restrict-access, so that the file is open to every user of the app.
  it('a mini-program: no restrict-access, and the file is open to the users of the app', async () => {
    const { gateway, token } = await setUp();
    const form = new FormData();
    form.append('file', new Blob([picture], { type: 'image/jpeg' }), 'tmp_1.jpg');
    const headers = { Authorization: `Bearer ${token}` };
    const uploaded = await fetch(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body: form });
    expect(uploaded.status).toBe(200);
    const { uri, entities } = (await uploaded.json()) as Uploaded;
    expect(entities[0]['share-secret']).toBeUndefined();
    const file = await fetch(`${uri}/${entities[0].uuid}`, { headers });
    expect(Buffer.from(await file.arrayBuffer())).toEqual(picture);
  });
});

/** A gateway, somebody's token, a folder for what is downloaded, and what arrives. */
async function setUp(
  options: RunOptions = {},
): Promise<Running & { token: string; folder: string; requests: ReturnType<typeof recordRequests> }> {
  const running = await startGateway(options);
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-client-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const token = running.emulator.issueToken(ORG, APP, { username: 'ann' });
  return { ...running, token, folder, requests: recordRequests(running.gateway.url) };
}

/** Runs a line as somebody would who pasted it into a shell. */
const shell = (line: string, cwd: string, variables: Record<string, string>) =>
  run('sh', ['-c', line], { cwd, env: { ...process.env, ...variables } });

/** Posts pieces as they are, and counts what was sent. */
async function post(
  url: string,
  { headers, body }: { headers: Record<string, string>; body: (string | Buffer)[] },
): Promise<{ status: number; sent: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const outgoing = request(url, { method: 'POST', headers, agent: false });
  outgoing.on('error', reject);
  outgoing.on('response', (answer) => {
    answer.resume();
    answer.on('end', () => resolve(answer.statusCode ?? 0));
  });
  const pieces = body.map((piece) => Buffer.from(piece));
  for (const piece of pieces) outgoing.write(piece);
  outgoing.end();
  return { status: await promise, sent: pieces.reduce((sum, { length }) => sum + length, 0) };
}

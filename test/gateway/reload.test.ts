import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { ask, multipartOf } from '../kit/ask.ts';
import { createAuthority } from '../kit/certificates.ts';
import { APP, bearer, CHATFILES, ORG } from '../kit/easemob.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { startTlsFront } from '../kit/tls-front.ts';

const SECRET = 'pa55word-of-redis';
const FILE = `${CHATFILES}/0a0b0c0d-1111-2222-3333-444455556666`;

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-reload-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** A gateway in a process of its own, whose configuration file a test may change. */
async function startReloading(yaml: string, file?: string, set: string[] = []) {
  const path = file ?? join(await newFolder(), 'gateway.yaml');
  if (file === undefined) await writeFile(path, yaml);
  const emulator = await createEmulator({ limiter: { algorithm: 'off' } });
  onTestFinished(() => emulator[Symbol.asyncDispose]());
  const keys = [`upstream.url=${emulator.url}`, 'reload.everyMs=50', 'quota.perSecond=5000', ...set];
  const gateway = await startGatewayProcess(keys, {}, path);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  const token = emulator.issueToken(ORG, APP);
  const upload = async (bytes: number): Promise<number> => {
    const { body, contentType } = multipartOf(new Uint8Array(bytes));
    const headers = bearer(token, { 'content-type': contentType });
    return (await ask(`${gateway.url}${CHATFILES}`, { method: 'POST', headers, body })).status;
  };
  const says = (text: string, times = 1) =>
    vi.waitFor(() => expect(gateway.output().split(text).length - 1).toBeGreaterThanOrEqual(times), 10_000);
  return { path, emulator, gateway, token, upload, says };
}

const TAKEN = 'the configuration was taken into use';
const REFUSED = 'the changed configuration was not taken, the earlier one goes on';

describe('a changed configuration', () => {
  it('is taken into use when its file has changed', async () => {
    const { path, upload, says } = await startReloading('limits: { fileBytes: 1KB }');
    expect(await upload(2000)).toBe(413);
    await writeFile(path, 'limits: { fileBytes: 4KB }');
    await says(TAKEN);
    expect([await upload(2000), await upload(5000)]).toEqual([200, 413]);
  });

  it('is taken into use on SIGHUP, where files are not watched', async () => {
    const { path, gateway, token, says } = await startReloading('reload: { watch: false }');
    const status = async () => (await ask(`${gateway.url}${FILE}`, { headers: bearer(token) })).status;
    expect(await status()).toBe(404);
    await writeFile(path, `reload: { watch: false }\ndestinations: ['others/*']\ntell: { serverTiming: true }`);
    process.kill(gateway.pid, 'SIGHUP');
    await says(TAKEN);
    const refused = await ask(`${gateway.url}${FILE}`, { headers: bearer(token) });
    expect(String(refused.body)).toContain('organization_application_not_found');
  });

  it('is taken when a link above its file is led elsewhere, as Kubernetes swaps a ConfigMap', async () => {
    const folder = await newFolder();
    const at = (name: string) => join(folder, name);
    for (const [version, bytes] of [
      ['one', '1KB'],
      ['two', '4KB'],
    ] as const) {
      await mkdir(at(version));
      await writeFile(join(at(version), 'gateway.yaml'), `limits: { fileBytes: ${bytes} }`);
    }
    await symlink('one', at('..data'));
    await symlink('..data/gateway.yaml', at('gateway.yaml'));
    const { upload, says } = await startReloading('', at('gateway.yaml'));
    expect(await upload(2000)).toBe(413);
    await symlink('two', at('..tmp'));
    await rename(at('..tmp'), at('..data'));
    await says(TAKEN);
    expect(await upload(2000)).toBe(200);
  });

  it('is refused as a whole when one line is wrong, and told with its place, without its secrets', async () => {
    const { path, gateway, upload, says } = await startReloading('limits: { fileBytes: 1KB }');
    await writeFile(path, `limits: { fileBytes: 4KB }\nredis: { url: 'rediss:/${SECRET}@host' }\nlimit: { x: 1 }`);
    await says(REFUSED);
    expect(gateway.output()).toContain(`${path}:3:1  limit: unknown key, did you mean limits?`);
    expect(gateway.output()).toContain(`${path}:2:`);
    expect(gateway.output()).not.toContain(SECRET);
    const readiness = async () => (await fetch(`${gateway.adminUrl}/readyz`)).text();
    const refused = await readiness();
    expect(refused).toMatch(
      /^degraded\nconfig: degraded since [^\n]*the last reload failed[^\n]*did you mean limits\?/,
    );
    expect(refused).not.toContain(SECRET);
    expect(await upload(2000)).toBe(413);
    await writeFile(path, 'limits: { fileBytes: 4KB }');
    await says(TAKEN);
    expect(await upload(2000)).toBe(200);
    expect(await readiness()).toMatch(/^ready\nconfig: ok since /);
  });

  it('is not taken for gone while its file is away', async () => {
    const { path, upload, says } = await startReloading('limits: { fileBytes: 1KB }');
    await rm(path);
    await says('there is no such file');
    expect(await upload(2000)).toBe(413);
  });

  it('names what only a restart takes into use', async () => {
    const { path, gateway, upload, says } = await startReloading('limits: { fileBytes: 1KB }');
    await writeFile(path, 'limits: { fileBytes: 4KB }\nquota: { marginMs: 99 }\nspool: { diskBytes: 3GB }');
    await says('waits for a restart');
    expect(gateway.output()).toMatch(/"keys":\["spool\.diskBytes","quota\.marginMs"\]/);
    expect(await upload(2000)).toBe(200);
  });

  it('leaves requests that are under way to the end by the earlier one', async () => {
    const { path, gateway, token, says } = await startReloading('limits: { fileBytes: 4KB }');
    const { body, contentType } = multipartOf(new Uint8Array(2000));
    const { promise: changed, resolve: goOn } = Promise.withResolvers<void>();
    const slowly = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(body.subarray(0, 500));
        await changed;
        controller.enqueue(body.subarray(500));
        controller.close();
      },
    });
    const headers = bearer(token, { 'content-type': contentType });
    const request = { method: 'POST', headers, body: slowly, duplex: 'half' };
    const reply = fetch(`${gateway.url}${CHATFILES}`, request);
    await writeFile(path, 'limits: { fileBytes: 1KB }');
    await says(TAKEN);
    goOn();
    expect((await reply).status).toBe(200);
  });

  it('changes what is logged', async () => {
    const { path, gateway, upload, says } = await startReloading('log: { level: info }');
    await writeFile(path, 'log: { level: warn }\nquota: { marginMs: 99 }');
    await says('waits for a restart');
    await upload(1);
    await writeFile(path, 'log: { level: info }');
    await says(TAKEN, 2);
    await upload(1);
    await says('"route":"upload"');
    expect(gateway.output().split('"route":"upload"')).toHaveLength(2);
  });

  it('is not held up by a certificate that has become a pipe on which nobody writes', async () => {
    const ca = await createAuthority();
    onTestFinished(() => ca[Symbol.asyncDispose]());
    const caFile = join(await newFolder(), 'ca.pem');
    await writeFile(caFile, ca.cert);
    const { path, upload, says } = await startReloading('', undefined, [`upstream.caFile=${caFile}`]);
    await rm(caFile);
    execFileSync('mkfifo', [caFile]);
    await says('upstream.caFile: is no file but a pipe');
    await rm(caFile);
    await writeFile(caFile, ca.cert);
    await writeFile(path, 'limits: { fileBytes: 4KB }');
    await says(TAKEN);
    expect(await upload(5000)).toBe(413);
  });

  it('brings new certificates for the way out', async () => {
    const emulator = await createEmulator({ limiter: { algorithm: 'off' } });
    onTestFinished(() => emulator[Symbol.asyncDispose]());
    const [right, wrong] = [await createAuthority('right'), await createAuthority('wrong')];
    onTestFinished(() => right[Symbol.asyncDispose]());
    onTestFinished(() => wrong[Symbol.asyncDispose]());
    const { key, cert } = await right.issue('localhost');
    const front = await startTlsFront(Number(new URL(emulator.url).port), { key, cert });
    const caFile = join(await newFolder(), 'ca.pem');
    await writeFile(caFile, wrong.cert);
    const set = [`upstream.url=https://localhost:${front.port}`, `upstream.caFile=${caFile}`];
    const { gateway, says } = await startReloading('', undefined, set);
    const headers = bearer(emulator.issueToken(ORG, APP));
    const status = async () => (await ask(`${gateway.url}${FILE}`, { headers })).status;
    expect(await status()).toBe(502);
    await writeFile(caFile, 'no certificate');
    await says('upstream.caFile: holds no');
    await writeFile(caFile, right.cert);
    await says('no key in it has changed');
    expect(await status()).toBe(404);
  });
});

import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf, sha256 } from '../kit/ask.ts';
import { pictureOf, until } from '../kit/cached.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';
import { scrape } from '../kit/scrape.ts';
import { createShiftClock } from '../kit/shift-clock.ts';
import { stickDisk } from '../kit/stuck-disk.ts';
import { startScriptedUpstream } from '../kit/scripted-upstream.ts';

type Line = Record<string, unknown>;

async function startAudited(set: string[] = [], options: RunOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'audited-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'audit.log');
  const running = await startGateway({
    ...options,
    set: [`audit.to=${path}`, 'audit.digest=true', `secrets.digestKey=${'k'.repeat(32)}`, ...set],
  });
  const text = () => readFile(path, 'utf8').catch(() => '');
  const lines = async (count: number): Promise<Line[]> => {
    await until(async () => (await text()).split('\n').length > count);
    const all = (await text()).trim().split('\n');
    return all.map((line) => JSON.parse(line) as Line);
  };
  return { ...running, folder, path, text, lines };
}

describe('the audit log', () => {
  it('tells who moved which file up and down, how large, and with which digest', async () => {
    const { gateway, emulator, lines, path } = await startAudited();
    const token = emulator.issueToken(ORG, APP);
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const create = { width: 600, height: 400, channels: 3, background: '#fff', noise } as const;
    const picture = await sharp({ create }).jpeg().toBuffer();
    const { uuid, secret = '' } = await uploadTo(gateway.url, token, new Uint8Array(picture), {
      'restrict-access': 'true',
    });
    const headers = bearer(token, { 'share-secret': secret });
    const file = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers });
    for (let count = 0; count < 2; count += 1) {
      await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: { ...headers, thumbnail: 'true' } });
    }
    const [up, down, fetched, kept] = await lines(4);
    expect(up).toMatchObject({
      log: 'audit',
      app: `${ORG}/${APP}`,
      client: '127.0.0.1',
      route: 'upload',
      direction: 'up',
      file: uuid,
      bytes: picture.length,
      type: 'image/jpeg',
      sha256: sha256(picture),
      decision: 'allow',
      status: 200,
      done: true,
    });
    expect(down).toMatchObject({
      route: 'download',
      direction: 'down',
      file: uuid,
      bytes: picture.length,
      sha256: sha256(file.body),
      type: 'image/jpeg',
      from: 'upstream',
    });
    expect(fetched).toMatchObject({ route: 'thumbnail', file: uuid, from: 'upstream' });
    expect(kept).toMatchObject({ route: 'thumbnail', file: uuid, from: 'memory', sha256: fetched?.['sha256'] });
    expect(new Set([up, down, fetched, kept].map((line) => line?.['token'])).size).toBe(1);
    expect(up?.['token']).toMatch(/^[\w-]{22}$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('holds neither token nor secret, whatever is refused and wherever somebody puts them', async () => {
    const { gateway, emulator, lines, text } = await startAudited([
      'audit.fileNames=true',
      `destinations=${ORG}/${APP}`,
    ]);
    const token = emulator.issueToken(ORG, APP);
    const { uuid, secret = '' } = await uploadTo(gateway.url, token, 'hello', { 'restrict-access': 'true' });
    expect(secret.length).toBeGreaterThan(20);
    const { contentType, body } = multipartOf(Buffer.from('hello'), `${token}.txt`);
    await ask(gateway.url + CHATFILES, {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': contentType },
      body,
    });
    await ask(`${gateway.url}${CHATFILES}/${uuid}?share-secret=${secret}`, { headers: bearer(token) });
    await ask(`${gateway.url}${CHATFILES}/${secret}`, { headers: bearer(token) });
    await ask(`${gateway.url}/${ORG}/${token}/chatfiles/${uuid}`, { headers: bearer(token) });
    await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: { authorization: `Bearer ${token} ${secret}` } });
    const all = await lines(6);
    expect(await text()).not.toContain(token);
    expect(await text()).not.toContain(secret);
    expect(all.map(({ reason }) => reason)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      'DESTINATION_UNKNOWN',
      'TOKEN_MALFORMED',
    ]);
    // That one was let go; it was Easemob that knew of no such file.
    expect(all[3]).toMatchObject({ decision: 'allow', status: 404, done: false });
    expect(all[4]).toMatchObject({ decision: 'deny', app: 'other', status: 404, done: false });
    expect(all[1]).toHaveProperty('name');
  });

  it('has what was refused, with the reason, and what would have been', async () => {
    const set = [
      'content.rules=deny unknown',
      'destinations=o9/a9',
      'enforce.destinations=report',
      'audit.digest=false',
    ];
    const { gateway, emulator, lines } = await startAudited(set);
    const token = emulator.issueToken(ORG, APP);
    await expect(uploadTo(gateway.url, token, 'hello')).rejects.toThrow('content improper');
    await uploadTo(gateway.url, token, new Uint8Array(pictureOf()));
    const all = await lines(2);
    expect(all).toMatchObject([
      { decision: 'deny', reason: 'CONTENT_REFUSED', wouldDeny: 'DESTINATION_UNKNOWN', bytes: 5, done: false },
      { decision: 'allow', wouldDeny: 'DESTINATION_UNKNOWN', type: 'image/jpeg', done: true },
    ]);
    expect(all[0]).not.toHaveProperty('name');
    expect(all.some((line) => 'sha256' in line)).toBe(false);
  });

  it('has shared files and parts, and nothing that moves no file', async () => {
    const upstream = await startScriptedUpstream(({ path }) =>
      path.endsWith('/f1')
        ? { body: Buffer.from('%PDF-1.7 shared'), headers: { 'content-type': 'application/octet-stream' } }
        : { body: { entities: [{ uuid: 'p1' }], data: { file_id: 'f1' } } },
    );
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const { gateway, lines } = await startAudited(['passthrough=**,sdk/chatfiles/part-upload/**'], {
      upstreamUrl: upstream.url,
    });
    const base = `${gateway.url}/${ORG}/${APP}`;
    const headers = bearer('YWMt-of-ann');
    const { contentType, body } = multipartOf(Buffer.from('%PDF-1.7 shared'));
    await ask(`${base}/users/ann`, { headers });
    const files = `${base}/chatgroups/66021836783617/share_files`;
    await ask(files, { method: 'POST', headers: { ...headers, 'content-type': contentType }, body });
    await ask(`${files}/f1`, { headers });
    const parts = `${base}/sdk/chatfiles/part-upload`;
    await ask(parts, { method: 'POST', headers, body: Buffer.alloc(0) });
    await ask(`${parts}/p1`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/octet-stream' },
      body: Buffer.from('part'),
    });
    await ask(`${parts}/p1`, { method: 'POST', headers, body: Buffer.alloc(0) });
    const all = await lines(5);
    expect(all[2]).not.toHaveProperty('file');
    expect(all).toMatchObject([
      { route: 'shared-file', direction: 'up', file: 'f1', bytes: 15, type: 'application/pdf' },
      {
        route: 'shared-file',
        direction: 'down',
        file: 'f1',
        bytes: 15,
        sha256: sha256(Buffer.from('%PDF-1.7 shared')),
      },
      { route: 'part-upload', direction: 'up', bytes: 0 },
      { route: 'part-upload', direction: 'up', file: 'p1', bytes: 4, sha256: sha256(Buffer.from('part')) },
      { route: 'part-upload', direction: 'up', file: 'p1', bytes: 0 },
    ]);
  });

  it('tells what came of an upload that broke off, or was too large', async () => {
    const { gateway, emulator, lines } = await startAudited(['limits.fileBytes=200000']);
    const headers = bearer(emulator.issueToken(ORG, APP));
    const { contentType, body } = multipartOf(Buffer.alloc(150_000, 'x'));
    const leaving = request(gateway.url + CHATFILES, {
      method: 'POST',
      headers: { ...headers, 'content-type': contentType, 'content-length': body.length },
    });
    leaving.on('error', () => {});
    await new Promise<unknown>((resolve) => leaving.write(body.subarray(0, 100_000), resolve));
    leaving.destroy();
    const [left] = await lines(1);
    expect(left).toMatchObject({ reason: 'CLIENT_GONE', status: 499, done: false });
    expect(left?.['bytes']).toBeGreaterThan(50_000);
    const large = multipartOf(Buffer.alloc(250_000, 'x'));
    const asForm = { ...headers, 'content-type': large.contentType };
    await ask(gateway.url + CHATFILES, { method: 'POST', headers: asForm, body: large.body });
    const all = await lines(2);
    expect(all[1]).toMatchObject({ reason: 'BODY_TOO_LARGE', status: 413 });
    expect(all[1]?.['bytes']).toBeGreaterThan(100_000);
  });

  it('begins with a new file when the old one was moved away', async () => {
    const { gateway, emulator, lines, folder, path } = await startAudited();
    const token = emulator.issueToken(ORG, APP);
    await uploadTo(gateway.url, token, 'one');
    await lines(1);
    await rename(path, join(folder, 'moved'));
    gateway.reopen();
    await uploadTo(gateway.url, token, 'two');
    expect(await lines(1)).toMatchObject([{ bytes: 3 }]);
  });

  it('does not hold anything up where it cannot be written, unless it is required', async () => {
    const { gateway, emulator } = await startAudited(['audit.to=/dev/full']);
    const token = emulator.issueToken(ORG, APP);
    await uploadTo(gateway.url, token, 'one');
    const folder = await mkdtemp(join(tmpdir(), 'audited-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'audit.log');
    await mkdir(path);
    const strict = await startAudited([`audit.to=${path}`, 'audit.required=true']);
    const other = strict.emulator.issueToken(ORG, APP);
    const get = () => ask(`${strict.gateway.url}${CHATFILES}/${randomUUID()}`, { headers: bearer(other) });
    await until(async () => (await get()).status === 503);
    const { body, headers } = await get();
    const ready = await ask(`${strict.gateway.adminUrl}/readyz`);
    expect(ready.body.toString()).toContain(`audit lines cannot be written to ${path}`);
    expect((await scrape(strict.gateway.adminUrl)).value('chatfiles_degraded', { component: 'audit' })).toBe(1);
    expect(JSON.parse(body.toString())).toMatchObject({ error: 'service_unavailable' });
    expect(headers['retry-after']).toBe('1');
    await rm(path, { recursive: true });
    await until(async () => (await get()).status === 404);
    const seen = await scrape(strict.gateway.adminUrl);
    expect(seen.value('chatfiles_degraded', { component: 'audit' })).toBe(0);
    expect(seen.value('chatfiles_audit_lines_total', { outcome: 'written' })).toBeGreaterThan(0);
    expect(seen.value('chatfiles_audit_lines_total', { outcome: 'lost' })).toBe(0);
  });

  it('lets no file pass while the disk hangs, if it is required', async () => {
    const clock = createShiftClock();
    const upstream = await startScriptedUpstream(() => ({ body: Buffer.from('hello') }));
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    const { gateway, lines } = await startAudited(['audit.required=true'], { clock, upstreamUrl: upstream.url });
    const url = `${gateway.url}${CHATFILES}/${randomUUID()}`;
    const get = () => ask(url, { headers: bearer('YWMt-of-ann') });
    await get();
    await lines(1);
    const release = await stickDisk();
    expect((await get()).status).toBe(200);
    await clock.advance(5000);
    await until(async () => (await get()).status === 503);
    const ready = await ask(`${gateway.adminUrl}/readyz`);
    expect(ready.body.toString()).toContain('the disk has not answered for 5 s');
    await release();
    await until(async () => (await get()).status === 200);
  });

  it('loses no line of a file for want of room that others took who were refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'audited-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'audit.log');
    await mkdir(path);
    const { gateway, emulator, notices } = await startAudited([`audit.to=${path}`]);
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, 'hello');
    const url = `${gateway.url}${CHATFILES}/${randomUUID()}`;
    const lost = async () => (await scrape(gateway.adminUrl)).value('chatfiles_audit_lines_total', { outcome: 'lost' });
    await until(async () => {
      await Promise.all(Array.from({ length: 50 }, () => ask(url)));
      return ((await lost()) ?? 0) > 0;
    });
    const before = await lost();
    for (let count = 0; count < 5; count += 1) {
      await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
    }
    expect(await lost()).toBe(before);
    expect(notices.map(({ message }) => message)).toContain('audit lines were lost');
    await rm(path, { recursive: true });
    await until(async () => (await readFile(path, 'utf8').catch(() => '')).includes('"from":"upstream"'));
    const text = await readFile(path, 'utf8');
    expect(text.match(/"from":"upstream"/g)).toHaveLength(5);
  });
});

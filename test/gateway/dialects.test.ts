import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ask, sha256 } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, formOf, ORG, uploadTo } from '../kit/easemob.ts';
import { type RunOptions, startGateway } from '../kit/gateway.ts';

const MB = 1024 ** 2;
const PICTURE = new Uint8Array(await readFile(new URL('../../samples/picture.jpg', import.meta.url)));

/** A gateway before an emulator of another dialect, and a picture in it. */
async function start(options: RunOptions = {}, headers: Record<string, string> = {}) {
  const running = await startGateway(options);
  const { emulator, gateway } = running;
  const token = emulator.issueToken(ORG, APP);
  const { uuid, secret } = await uploadTo(emulator.url, token, PICTURE, headers);
  emulator.clearReceived();
  const get = (more: Record<string, string> = {}) =>
    ask(`${gateway.url}${CHATFILES}/${uuid}`, {
      headers: bearer(token, { ...(secret && { 'share-secret': secret }), ...more }),
    });
  const fieldOf = (name: string) =>
    emulator
      .received()
      .at(-1)
      ?.headers.find(([each]) => each.toLowerCase() === name)?.[1];
  return { ...running, token, uuid, secret, get, fieldOf };
}

const errorOf = (body: Buffer) => (JSON.parse(body.toString()) as { error: string }).error;

describe('an upstream that throttles with 429', () => {
  it('is asked again until it takes the request, and the client never knows', async () => {
    const limiter = { algorithm: 'small-burst', burst: 2, perSecond: 20, status: 429, retryAfter: 'seconds' } as const;
    const { get, emulator, summaries } = await start({ emulator: { limiter } });
    const replies = await Promise.all(Array.from({ length: 6 }, () => get()));
    expect(replies.map(({ status }) => status)).toEqual(Array(6).fill(200));
    expect(emulator.stats().refused).toBeGreaterThan(0);
    expect(summaries.some(({ attempts }) => attempts > 1)).toBe(true);
  });

  it('takes an upload in the end, once, and a login', async () => {
    const { emulator, gateway, token } = await start({ set: ['passthrough=token'] });
    const refusal = {
      status: 429,
      body: { error: 'reach_limit', error_description: 'This request has reached api limit' },
    };
    emulator.fault({ kind: 'status', ...refusal, times: 2 });
    await uploadTo(gateway.url, token, PICTURE);
    expect(emulator.received().map(({ status }) => status)).toEqual([429, 429, 200]);
    emulator.fault({ kind: 'status', ...refusal, times: 1 });
    const body = Buffer.from(JSON.stringify({ grant_type: 'client_credentials', client_id: 'x', client_secret: 'y' }));
    expect((await ask(`${gateway.url}/${ORG}/${APP}/token`, { method: 'POST', body })).status).toBe(200);
  });

  it('is not asked again when the plan is used up, and is quoted', async () => {
    const { emulator, get } = await start();
    emulator.fault({
      kind: 'status',
      status: 429,
      body: { error: 'resource_limited', error_description: 'You have exceeded' },
    });
    const { status, body } = await get();
    expect([status, errorOf(body)]).toEqual([429, 'resource_limited']);
    expect(emulator.received()).toHaveLength(1);
  });

  it.each([
    [[], 503, 'service_unavailable'],
    [['compat.throttledStatus=429'], 429, 'reach_limit'],
  ] as const)('and will not stop is told to clients as configured: %j', async (set, status, error) => {
    const running = await start({ set: ['retry.throttledAttempts=2', ...set] });
    running.emulator.fault({ kind: 'status', status: 429, body: { error: 'reach_limit' } });
    const reply = await running.get();
    expect([reply.status, errorOf(reply.body), reply.headers['retry-after']]).toEqual([status, error, '1']);
    expect(running.summaries.at(-1)).toMatchObject({ status, error: 'UPSTREAM_THROTTLED', upstreamStatus: 429 });
  });

  it('is not the only one that tells so: a line that is too long does, too', async () => {
    const set = ['quota.perSecond=1', 'quota.windowMs=60000', 'quota.maxWaitMs=0', 'compat.throttledStatus=429'];
    const { get, summaries } = await start({ set });
    await get();
    const { status, body, headers } = await get();
    expect([status, errorOf(body)]).toEqual([429, 'reach_limit']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(summaries.at(-1)?.error).toBe('QUEUE_FULL');
  });
});

describe('an upstream that counts by app', () => {
  const PER_APP = 20;
  const emulator = { limiter: { perSecond: 1_000_000, appPerSecond: PER_APP, status: 429 } } as const;

  /** Forty requests of each of two apps at once; what the upstream made of them. */
  async function rush(set: string[]) {
    const running = await startGateway({ emulator, set: ['quota.perSecond=500', 'quota.marginMs=150', ...set] });
    const asks = ['a1', 'a2'].flatMap((app) => {
      const token = running.emulator.issueToken(ORG, app);
      return Array.from({ length: 2 * PER_APP }, () =>
        ask(`${running.gateway.url}/${ORG}/${app}/chatfiles/none`, { headers: bearer(token) }),
      );
    });
    const statuses = new Set((await Promise.all(asks)).map(({ status }) => status));
    return { statuses: [...statuses], ...running.emulator.stats() };
  }

  it('never has to refuse anything where the gateway counts likewise', async () => {
    expect(await rush([`quota.appPerSecond=${PER_APP}`])).toMatchObject({ statuses: [404], arrived: 80, refused: 0 });
  });

  it('refuses where it does not, and clients are served all the same', async () => {
    const { statuses, refused } = await rush([]);
    expect(statuses).toEqual([404]);
    expect(refused).toBeGreaterThan(0);
  });
});

describe('the header thumbnail', () => {
  const KEEPS_ORIGINALS = ['cache.originalBytes=1MB', 'cache.maxEntryBytes=1MB'];

  it('counts by its presence, as the documentation has it', async () => {
    const { get, fieldOf, summaries } = await start({ set: KEEPS_ORIGINALS });
    const [no, yes] = [await get({ thumbnail: 'false' }), await get({ thumbnail: 'true' })];
    expect(no.body.equals(yes.body)).toBe(true);
    expect(no.body.length).toBeLessThan(PICTURE.length);
    // Only one spelling is kept, since others may be read otherwise.
    expect(no.headers['cache-status']).toContain('fwd=bypass');
    expect(summaries.map(({ route }) => route)).toEqual(['thumbnail', 'thumbnail']);
    await get({ thumbnail: 'false' });
    expect(fieldOf('thumbnail')).toBe('false');
  });

  it('counts by its value where that is configured, and goes on as it came', async () => {
    const { get, fieldOf, emulator, summaries } = await start({
      emulator: { thumbnailBy: 'value' },
      set: ['compat.headerValues=value', ...KEEPS_ORIGINALS],
    });
    const no = await get({ thumbnail: 'false' });
    expect(sha256(no.body)).toBe(sha256(PICTURE));
    expect(fieldOf('thumbnail')).toBe('false');
    // It is the file itself: kept as that, and for whoever asks for that, in any of its spellings.
    expect(no.headers['cache-status']).toContain('stored');
    for (const more of [{}, { thumbnail: '' }, { thumbnail: 'false' }] as Record<string, string>[]) {
      const again = await get(more);
      expect([again.headers['cache-status'], sha256(again.body)]).toEqual([
        expect.stringContaining('; hit'),
        sha256(PICTURE),
      ]);
    }
    expect(emulator.received()).toHaveLength(1);
    expect((await get({ thumbnail: 'true' })).body.length).toBeLessThan(PICTURE.length);
    expect(summaries.map(({ route }) => route)).toEqual([...Array<string>(4).fill('download'), 'thumbnail']);
  });
});

describe('the header restrict-access', () => {
  it.each([
    ['presence', 'true', true],
    ['presence', 'false', true],
    ['value', 'true', true],
    ['value', 'false', false],
  ] as const)('is the upstream’s to read, which goes by its %s: %s', async (restrictAccessBy, value, isRestricted) => {
    const { gateway, emulator } = await startGateway({ emulator: { restrictAccessBy } });
    const [ann, bob] = ['ann', 'bob'].map((username) => emulator.issueToken(ORG, APP, { username, layout: 'long' }));
    const { uuid, secret } = await uploadTo(gateway.url, ann!, PICTURE, { 'restrict-access': value });
    expect(emulator.received()[0]?.headers).toContainEqual(['restrict-access', value]);
    expect(secret !== undefined).toBe(isRestricted);
    // What is kept goes to others without the secret only if the upstream has said that it needs none.
    const see = (token: string, more = {}) =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, { thumbnail: 'true', ...more }) });
    expect((await see(ann!, secret && { 'share-secret': secret })).status).toBe(200);
    expect((await see(bob!)).status).toBe(isRestricted ? 403 : 200);
  });
});

describe('a larger size by contract', () => {
  it('goes through whole, and not a byte more', { timeout: 60_000 }, async () => {
    const { gateway, emulator } = await startGateway({
      emulator: { maxFileBytes: 50 * MB },
      set: ['limits.fileBytes=50MB', 'limits.discardMs=1000'],
    });
    const token = emulator.issueToken(ORG, APP);
    const file = fileOf(50 * MB);
    const { uuid } = await uploadTo(gateway.url, token, file);
    expect(emulator.received().at(-1)?.fileSha256).toBe(sha256(file));
    const back = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
    expect([back.status, back.headers['content-length'], sha256(back.body)]).toEqual([
      200,
      String(50 * MB),
      sha256(file),
    ]);
    const larger = new Uint8Array(50 * MB + 1);
    const refused = await fetch(`${gateway.url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token),
      body: formOf(larger),
    });
    expect([refused.status, await refused.json()]).toEqual([
      413,
      expect.objectContaining({ error: 'file exceeding maximum limit' }),
    ]);
    expect(emulator.stats().storedFiles).toBe(1);
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config.ts';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { createGateway } from '../../src/gateway.ts';
import { ask, multipartOf } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startGatewayProcess } from '../kit/process.ts';
import { startRedis } from '../kit/redis.ts';
import { type Family, scrape } from '../kit/scrape.ts';

const ROOT = new URL('../../', import.meta.url);
const PICTURE = new Uint8Array(await readFile(new URL('samples/picture.jpg', ROOT)));
const TOLD = await readFile(new URL('docs/metrics.md', ROOT), 'utf8');

/** The table of docs/metrics.md: each metric's type and labels. */
const TABLE = new Map(
  [...TOLD.matchAll(/^\| `([a-z_]+)` +\| (counter|gauge|histogram) +\| ([^|]*) ?\|/gm)].map(
    ([, name = '', type = '', labels = '']) => [
      name,
      { type, labels: [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label = '']) => label).toSorted() },
    ],
  ),
);

/** Metrics of our own; the process's are prom-client's. */
const isOurs = ({ name }: Family) => !/^(process|nodejs)_/.test(name);

const labelsOf = ({ samples }: Family): string[] =>
  [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))].filter((label) => label !== 'le').toSorted();

/** A gateway with all that it can have, and a bit of everything that happens on a day. */
async function busyDay() {
  await using opening = new AsyncDisposableStack();
  const redis = opening.use(await startRedis());
  const set = [
    `redis.url=${redis.url}`,
    'secrets.digestKey=0123456789abcdefghijklmnopqrstuvwxyzABCDEFG=',
    'tokens.anonymousDownloads=withSecret',
    'passthrough=token',
    'metrics.apps=o1/a1',
  ];
  const running = await startGateway({ set, emulator: { limiter: { algorithm: 'off' } } });
  const { gateway, emulator } = running;
  const open = opening.move();
  onTestFinished(() => open.disposeAsync());
  const token = emulator.issueToken(ORG, APP, { username: 'ann-the-user' });
  const url = `${gateway.url}${CHATFILES}`;
  const { uuid, secret = '' } = await uploadTo(gateway.url, token, PICTURE, { 'restrict-access': 'true' });
  const get = (headers: Record<string, string>, query = '') => ask(`${url}/${uuid}${query}`, { headers });
  const ann = bearer(token, { 'share-secret': secret });
  const thumbnail = { ...ann, thumbnail: 'true' };
  for (let i = 0; i < 3; i += 1) expect((await get(thumbnail)).status).toBe(200);
  expect((await get(ann)).status).toBe(200);
  // A page's tag, somebody without a token, with a made-up one, with a bad query, and with a wrong method.
  await get({}, `?share-secret=${secret}`);
  await get({});
  await get(bearer('YWMt-made-up-token-of-nobody'));
  await get(ann, `?access_token=${token}`);
  await ask(url, { method: 'PATCH', headers: ann });
  await ask(`${gateway.url}/somebody-s-path/with/${token}`, { headers: ann });
  const { contentType, body } = multipartOf(new Uint8Array(0), 'a-name-of-a-file.jpg');
  await ask(url, { method: 'POST', headers: bearer(token, { 'content-type': contentType }), body });
  return { ...running, redis, token, secret, uuid, url, get, ann };
}

describe('a scraper', () => {
  it('finds what the documentation promises, neither more nor less', async () => {
    const { gateway } = await busyDay();
    const { families } = await scrape(gateway.adminUrl);
    const seen = new Map(
      [...families.values()].filter(isOurs).map((family) => [
        family.name,
        // A label that was not needed yet is not there yet.
        { type: family.type, labels: labelsOf(family) },
      ]),
    );
    expect([...seen.keys()].toSorted()).toEqual([...TABLE.keys()].toSorted());
    const unused = new Set(['chatfiles_cache_errors_total']);
    const promised = [...TABLE].map(([name, { type, labels }]) => [
      name,
      { type, labels: unused.has(name) ? [] : labels },
    ]);
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(promised));
  });

  it('finds nothing of users, tokens, secrets, files, paths or addresses', async () => {
    const { gateway, token, secret, uuid } = await busyDay();
    const { text, families } = await scrape(gateway.adminUrl);
    for (const planted of [token, secret, uuid, 'ann-the-user', 'made-up', 'somebody-s-path', 'a-name-of-a-file']) {
      expect(text).not.toContain(planted);
    }
    expect(text).not.toMatch(/127\.0\.0\.1|localhost|::1/);
    const values = [...families.values()]
      .filter(isOurs)
      .flatMap(({ samples }) => samples.flatMap(({ labels }) => Object.entries(labels)))
      .filter(([label]) => label !== 'app' && label !== 'version' && label !== 'node_version' && label !== 'le')
      .map(([, value]) => value);
    expect(
      [...new Set(values)].filter((value) => !/^[A-Za-z_-]{0,24}$|^[1-5]\d\d(_?)$|^CLIENT_LIMITED_429$/.test(value)),
    ).toEqual([]);
  });

  it('finds the day as it was', async () => {
    const { gateway, emulator } = await busyDay();
    const seen = await scrape(gateway.adminUrl);
    const requests = (labels: Record<string, string>) =>
      seen.value('http_server_request_duration_seconds_count', labels);
    expect(requests({ http_route: 'thumbnail', http_response_status_code: '200' })).toBe(3);
    expect(requests({ http_route: 'upload', http_response_status_code: '200' })).toBe(1);
    expect(requests({ http_response_status_code: '405' })).toBe(1);
    const results = (tier: string, result: string) => seen.value('chatfiles_cache_requests_total', { tier, result });
    expect([results('memory', 'hit'), results('none', 'miss')]).toEqual([2, 1]);
    const reasons = ['TOKEN_MISSING', 'QUERY_REFUSED', 'METHOD_NOT_ALLOWED', 'FILE_EMPTY'];
    const refused = reasons.map((reason) => seen.value('chatfiles_policy_refusals_total', { reason }));
    expect(refused).toEqual([1, 1, 1, 1]);
    const received = emulator.received().length;
    expect(received).toBeGreaterThan(3);
    expect(seen.value('chatfiles_upstream_attempts_total')).toBe(received);
    expect(seen.value('http_client_request_duration_seconds_count')).toBe(received);
    expect(seen.value('chatfiles_quota_permits_total', { outcome: 'granted' })).toBe(received);
    expect(seen.value('chatfiles_quota_wait_seconds_count')).toBe(received);
    expect(seen.value('chatfiles_quota_limit', { scope: 'egress' })).toBe(30);
    expect(seen.value('chatfiles_upload_bytes_count')).toBe(1);
    expect(seen.value('chatfiles_upstream_throttled_total')).toBe(0);
    expect(seen.value('http_server_active_requests')).toBe(0);
    expect(seen.value('chatfiles_cache_entries', { tier: 'memory' })).toBe(1);
    expect(seen.value('chatfiles_spool_bodies')).toBe(0);
    expect(seen.value('chatfiles_redis_up', { use: 'quota' })).toBe(1);
    expect(seen.value('chatfiles_redis_command_duration_seconds_count', { use: 'quota' })).toBeGreaterThan(0);
    expect(seen.value('chatfiles_degraded')).toBe(0);
    expect(seen.value('chatfiles_app_requests_total', { app: 'o1/a1' })).toBeGreaterThan(5);
  });

  it('needs no token, and gets its first answer before anything has happened', async () => {
    const { gateway } = await startGateway();
    const { value } = await scrape(gateway.adminUrl);
    const names = [
      'chatfiles_upstream_throttled_total',
      'chatfiles_upstream_attempts_total',
      'chatfiles_retries_total',
      'chatfiles_quota_used',
      'chatfiles_quota_wait_seconds_count',
      'chatfiles_queue_depth',
      'chatfiles_queue_refused_total',
      'chatfiles_cache_requests_total',
      'chatfiles_policy_refusals_total',
      'chatfiles_request_failures_total',
      'chatfiles_degraded',
      'chatfiles_config_reloads_total',
    ];
    expect(names.filter((name) => value(name) !== 0)).toEqual([]);
    expect(value('chatfiles_redis_up')).toBeUndefined();
  });
});

describe('the objective', () => {
  it('holds under three times the quota: nothing is throttled, and the waiting shows', async () => {
    const perSecond = 10;
    const { gateway, emulator } = await startGateway({
      set: [`quota.perSecond=${perSecond}`, 'quota.maxWaitMs=30000'],
      emulator: { limiter: { perSecond } },
    });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, 'bytes');
    const asking = Array.from({ length: 3 * perSecond }, () =>
      ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) }),
    );
    const depth = async () => (await scrape(gateway.adminUrl)).value('chatfiles_queue_depth', { class: 'download' });
    await expect.poll(depth, { interval: 20 }).toBeGreaterThan(5);
    const { value: now } = await scrape(gateway.adminUrl);
    expect(now('http_server_active_requests', { http_request_method: 'GET' })).toBeGreaterThan(5);
    expect(now('chatfiles_quota_used')).toBeLessThanOrEqual(perSecond);
    expect((await Promise.all(asking)).map(({ status }) => status)).toEqual(asking.map(() => 200));
    const { value } = await scrape(gateway.adminUrl);
    expect(value('chatfiles_upstream_throttled_total')).toBe(0);
    expect(value('chatfiles_queue_depth')).toBe(0);
    expect(value('chatfiles_queue_oldest_seconds')).toBe(0);
    expect(value('chatfiles_quota_wait_seconds_sum', { class: 'download' })).toBeGreaterThan(1);
  });

  it('shows as missed when the upstream throttles all the same, with what was tried again', async () => {
    const { gateway, emulator } = await startGateway({ emulator: { limiter: { algorithm: 'off' } } });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(gateway.url, token, 'bytes');
    emulator.fault({ kind: 'unavailable', times: 2 });
    const reply = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token) });
    expect(reply.status).toBe(200);
    const { value } = await scrape(gateway.adminUrl);
    expect(value('chatfiles_upstream_throttled_total', { class: 'download' })).toBe(2);
    expect(value('chatfiles_upstream_throttled_total')).toBe(2);
    expect(value('chatfiles_upstream_attempts_total', { outcome: 'throttled' })).toBe(2);
    expect(value('chatfiles_retries_total', { outcome: 'throttled' })).toBe(2);
    expect(value('http_client_request_duration_seconds_count', { http_response_status_code: '503' })).toBe(2);
  });

  it('tells what was not tried again, since it may have been stored', async () => {
    const { gateway, emulator } = await startGateway({ emulator: { limiter: { algorithm: 'off' } } });
    emulator.fault({ kind: 'reset', where: 'unanswered', times: 1 });
    await expect(uploadTo(gateway.url, emulator.issueToken(ORG, APP), 'bytes')).rejects.toThrow('502');
    const { value } = await scrape(gateway.adminUrl);
    expect(value('chatfiles_retries_given_up_total', { reason: 'unsafe' })).toBe(1);
    expect(value('chatfiles_retries_total')).toBe(0);
    expect(value('chatfiles_upstream_attempts_total', { outcome: 'reset' })).toBe(1);
    expect(value('http_client_request_duration_seconds_count', { error_type: 'reset' })).toBe(1);
  });
});

describe('a gateway that goes on without Redis', () => {
  it('says so, and says when it is over', async () => {
    const { gateway, redis } = await busyDay();
    const look = async () => {
      const { value } = await scrape(gateway.adminUrl);
      const degraded = (component: string) => value('chatfiles_degraded', { component });
      return [
        value('chatfiles_redis_up', { use: 'quota' }),
        degraded('quota'),
        degraded('access'),
        degraded('upstream'),
      ];
    };
    expect(await look()).toEqual([1, 0, 0, 0]);
    await redis.stop();
    await expect.poll(look, { timeout: 5000 }).toEqual([0, 1, 1, 0]);
    await redis.restart();
    await expect.poll(look, { timeout: 10_000 }).toEqual([1, 0, 0, 0]);
  });
});

describe('the example of alert rules', () => {
  it('asks for metrics that there are, by labels that they have', async () => {
    type Rules = { groups: { rules: { alert: string; expr: string }[] }[] };
    const file = await readFile(new URL('docs/prometheus-alerts.example.yaml', ROOT), 'utf8');
    const { groups } = parse(file) as Rules;
    const { gateway } = await startGateway();
    const { families } = await scrape(gateway.adminUrl);
    const questions = [
      ...groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)),
      ...[...TOLD.matchAll(/```promql\n([^`]+)```/g)].flatMap(([, text = '']) => text.split('\n')),
    ].filter((text) => text !== '' && !text.startsWith('#'));
    expect(questions.length).toBeGreaterThan(8);
    const named = questions.map((question) =>
      [...question.matchAll(/\b(?:chatfiles|http|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name),
    );
    expect(named.filter((names) => names.length === 0)).toEqual([]);
    const isThere = (name: string) => families.has(name) || families.has(name.replace(/_(bucket|count|sum)$/, ''));
    expect(named.flat().filter((name) => !isThere(name))).toEqual([]);
    const reasons = questions.flatMap((text) => [...text.matchAll(/(?:outcome|result|reason)[=!]~?"([^"]+)"/g)]);
    const known = new Set<string | undefined>(
      [...families.values()].flatMap(({ samples }) => samples.flatMap(({ labels }) => Object.values(labels))),
    );
    const words = reasons.flatMap(([, text = '']) => text.split('|'));
    expect(words.length).toBeGreaterThan(4);
    expect(words.filter((word) => !known.has(word))).toEqual([]);
  });
});

describe('a reload', () => {
  it('is counted where it was taken, and tells when', async () => {
    await using gateway = await startGatewayProcess(['upstream.url=https://a1.easemob.com']);
    const takenAt = (await scrape(gateway.adminUrl)).value('chatfiles_config_last_reload_success_timestamp_seconds');
    process.kill(gateway.pid, 'SIGHUP');
    const count = async (result: string) =>
      (await scrape(gateway.adminUrl)).value('chatfiles_config_reloads_total', { result });
    await expect.poll(() => count('success')).toBe(1);
    expect(await count('failure')).toBe(0);
    const { value } = await scrape(gateway.adminUrl);
    expect(value('chatfiles_config_last_reload_success_timestamp_seconds')).toBeGreaterThan(takenAt ?? Infinity);
  });

  it('goes on counting where it was', async () => {
    const emulator = await createEmulator();
    onTestFinished(() => emulator[Symbol.asyncDispose]());
    const set = ['listen.port=0', 'admin.port=0', `upstream.url=${emulator.url}`];
    const { config } = await loadConfig({ env: {}, set });
    const gateway = await createGateway(config);
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    const token = emulator.issueToken(ORG, APP);
    await uploadTo(gateway.url, token, 'bytes');
    await gateway.reload((await loadConfig({ env: {}, set: [...set, 'tracing.propagate=false'] })).config);
    await uploadTo(gateway.url, token, 'bytes');
    expect((await scrape(gateway.adminUrl)).value('chatfiles_upstream_attempts_total')).toBe(2);
    const traced = emulator.received().map(({ headers }) => headers.some(([name]) => name === 'traceparent'));
    expect(traced).toEqual([true, false]);
  });
});

import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/metrics/metrics.ts';
import type { Counted } from '../../src/metrics/requests.ts';
import { readScrape } from '../kit/scrape.ts';

const open = (apps: string[] = []) => {
  const metrics = createMetrics({ apps, version: '1.2.3' }, { now: () => 5_000 });
  return { metrics, look: async () => readScrape((await metrics.scrape()).text) };
};

const COUNTED: Counted = {
  method: 'GET',
  route: 'thumbnail',
  status: 200,
  error: undefined,
  source: undefined,
  wouldDeny: undefined,
  app: 'o/a',
  cache: undefined,
  attempts: 1,
  durationMs: 12,
  bytesIn: 0,
};

describe('two gateways in one process', () => {
  it("count apart, and share what is the process's", async () => {
    const [one, other] = [open(), open()];
    one.metrics.record(COUNTED);
    const name = 'http_server_request_duration_seconds_count';
    expect((await one.look()).value(name)).toBe(1);
    const second = await other.look();
    expect(second.value(name)).toBeUndefined();
    expect(second.value('nodejs_eventloop_lag_p99_seconds')).toBeDefined();
    expect(second.value('process_cpu_seconds_total')).toBeGreaterThan(0);
  });
});

describe('the labels of a request', () => {
  it('are words of closed sets, whatever its upstream says', async () => {
    const { metrics, look } = open();
    for (let status = 100; status < 600; status += 1) metrics.record({ ...COUNTED, status });
    const { families } = await look();
    const samples = families.get('http_server_request_duration_seconds')?.samples ?? [];
    const statuses = new Set(samples.map(({ labels }) => labels['http_response_status_code']));
    expect(statuses).toContain('499');
    expect(statuses).toContain('other');
    expect(statuses).not.toContain('299');
    expect(statuses.size).toBeLessThan(70);
  });

  it('name no app, unless it is on the list', async () => {
    const none = open();
    none.metrics.record(COUNTED);
    expect((await none.look()).text).not.toContain('o/a');
    const { metrics, look } = open(['o/a', 'o/quiet']);
    metrics.record({ ...COUNTED, attempts: 3 });
    metrics.record({ ...COUNTED, app: 'o/stranger' });
    metrics.record({ ...COUNTED, app: undefined });
    const seen = await look();
    expect(seen.text).not.toContain('stranger');
    expect(['o/a', 'o/quiet', 'other'].map((app) => seen.value('chatfiles_app_requests_total', { app }))).toEqual([
      1, 0, 2,
    ]);
    expect(seen.value('chatfiles_app_upstream_attempts_total', { app: 'o/a' })).toBe(3);
  });
});

describe('what is counted of a request', () => {
  it.each([
    ['memory', 'hit', 'chatfiles-gateway; hit; detail=memory'],
    ['disk', 'hit', 'chatfiles-gateway; hit; detail=disk'],
    ['none', 'stale', 'chatfiles-gateway; hit; detail=grace'],
    ['none', 'collapsed', 'chatfiles-gateway; fwd=uri-miss; collapsed'],
    ['none', 'miss', 'chatfiles-gateway; fwd=uri-miss; fwd-status=200; stored'],
    ['none', 'miss', 'chatfiles-gateway; fwd=request; fwd-status=200; stored'],
    ['none', 'revalidated', 'chatfiles-gateway; fwd=request; fwd-status=304'],
    ['none', 'bypass', 'chatfiles-gateway; fwd=bypass'],
  ])('is its one result in the cache: %s %s for %s', async (tier, result, cache) => {
    const { metrics, look } = open();
    metrics.record({ ...COUNTED, cache });
    const seen = await look();
    expect(seen.value('chatfiles_cache_requests_total', { tier, result })).toBe(1);
    expect(seen.value('chatfiles_cache_requests_total')).toBe(1);
  });

  it.each([
    ['chatfiles_policy_refusals_total', 'TOKEN_EXPIRED', 'downstream'],
    ['chatfiles_request_failures_total', 'UPSTREAM_TIMEOUT', 'upstream'],
    ['chatfiles_request_failures_total', 'SPOOL_FULL', 'gateway'],
  ])('is in %s that it ended with %s', async (name, error, source) => {
    const { metrics, look } = open();
    expect((await look()).value(name, { reason: error })).toBe(0);
    metrics.record({ ...COUNTED, error, source });
    const seen = await look();
    expect(seen.value(name, { reason: error })).toBe(1);
    expect(seen.value('chatfiles_policy_refusals_total')! + seen.value('chatfiles_request_failures_total')!).toBe(1);
  });

  it('is apart that a policy would have refused it that only reports', async () => {
    const { metrics, look } = open();
    metrics.record({ ...COUNTED, wouldDeny: 'TOKEN_EXPIRED' });
    const seen = await look();
    expect(seen.value('chatfiles_policy_reports_total', { reason: 'TOKEN_EXPIRED' })).toBe(1);
    expect(seen.value('chatfiles_policy_reports_total')).toBe(1);
    expect(seen.value('chatfiles_policy_refusals_total')).toBe(0);
  });

  it('is no refusal that its client has left', async () => {
    const { metrics, look } = open();
    metrics.record({ ...COUNTED, status: 499, error: 'CLIENT_GONE', source: 'downstream' });
    const seen = await look();
    expect(seen.value('chatfiles_policy_refusals_total')).toBe(0);
    expect(seen.value('chatfiles_policy_refusals_total', { reason: 'CLIENT_GONE' })).toBeUndefined();
    expect(seen.value('http_server_request_duration_seconds_count', { http_response_status_code: '499' })).toBe(1);
  });

  it('never throws, also when the clock was set back', async () => {
    const { metrics, look } = open();
    metrics.record({ ...COUNTED, durationMs: -3_600_000 });
    metrics.record({ ...COUNTED, durationMs: Number.NaN });
    const seen = await look();
    expect(seen.value('http_server_request_duration_seconds_sum')).toBe(0);
    expect(seen.value('http_server_request_duration_seconds_count')).toBe(2);
  });
});

describe('the configuration', () => {
  it('counts its reloads, and tells when the one in force was taken', async () => {
    let now = 5_000;
    const metrics = createMetrics({ apps: [], version: '1' }, { now: () => now });
    const look = async () => readScrape((await metrics.scrape()).text);
    const takenAt = async () => (await look()).value('chatfiles_config_last_reload_success_timestamp_seconds');
    expect(await takenAt()).toBe(5);
    now = 9_000;
    metrics.reloaded(false);
    expect(await takenAt()).toBe(5);
    metrics.reloaded(true);
    expect(await takenAt()).toBe(9);
    const seen = await look();
    const counts = ['success', 'failure'].map((result) => seen.value('chatfiles_config_reloads_total', { result }));
    expect(counts).toEqual([1, 1]);
  });
});

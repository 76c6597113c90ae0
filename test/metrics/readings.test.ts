import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/metrics/metrics.ts';
import type { QuotaReading, Sources } from '../../src/metrics/readings.ts';
import { readScrape } from '../kit/scrape.ts';

const QUOTA: QuotaReading = {
  scopes: new Map([['egress', { limit: 30, used: 7 }]]),
  windowMs: 1035,
  slots: { granted: 100, returned: 3, expired: 1 },
  refused: { deadline: 4, full: 0, client_cap: 0, bytes: 0, draining: 0, disconnected: 2 },
  waiting: new Map([['upload', { requests: 2, bytes: 700, oldestMs: 1500 }]]),
  replicas: 3,
};

/** Rooms that tell these numbers, and how often they were asked. */
function open(more: Partial<Sources> = {}) {
  const metrics = createMetrics({ apps: [], version: '1' }, { now: () => 0 });
  let looks = 0;
  metrics.read({
    quota() {
      looks += 1;
      return QUOTA;
    },
    cache: () => new Map([['disk', { bytes: 5, entries: 1, evictions: 2, errors: { corrupt: 6 } }]]),
    spools: () => new Map([['uploads', { memoryBytes: 8, diskBytes: 9, bodies: 1 }]]),
    audit: () => ({ written: 12, lost: 4 }),
    degraded: () => ({ access: true }),
    ...more,
  });
  return { look: async () => readScrape((await metrics.scrape()).text), looks: () => looks };
}

describe('what the rooms keep count of', () => {
  it('is told as they tell it', async () => {
    const { value } = await open().look();
    expect(value('chatfiles_quota_limit', { scope: 'egress' })).toBe(30);
    expect(value('chatfiles_quota_used', { scope: 'egress' })).toBe(7);
    expect(value('chatfiles_quota_window_seconds')).toBe(1.035);
    expect(value('chatfiles_quota_permits_total', { outcome: 'expired' })).toBe(1);
    expect(value('chatfiles_queue_refused_total', { reason: 'deadline' })).toBe(4);
    expect(value('chatfiles_queue_depth', { class: 'upload' })).toBe(2);
    expect(value('chatfiles_queue_oldest_seconds', { class: 'upload' })).toBe(1.5);
    expect(value('chatfiles_queue_bytes')).toBe(700);
    expect(value('chatfiles_replicas')).toBe(3);
    expect(value('chatfiles_cache_errors_total', { tier: 'disk', reason: 'corrupt' })).toBe(6);
    expect(value('chatfiles_spool_disk_bytes', { spool: 'uploads' })).toBe(9);
    expect(value('chatfiles_audit_lines_total', { outcome: 'written' })).toBe(12);
    expect(value('chatfiles_audit_lines_total', { outcome: 'lost' })).toBe(4);
    expect(value('chatfiles_degraded', { component: 'access' })).toBe(1);
    expect(value('chatfiles_degraded')).toBe(1);
  });

  it('is not added up from scrape to scrape', async () => {
    const { look } = open();
    await look();
    expect((await look()).value('chatfiles_quota_permits_total', { outcome: 'granted' })).toBe(100);
  });

  it('is asked for once a scrape, and anew for the next', async () => {
    const { look, looks } = open();
    await look();
    expect(looks()).toBe(1);
    await look();
    expect(looks()).toBe(2);
  });
});

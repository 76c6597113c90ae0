/** What is watched, and where the numbers come from: metrics and traces, put together with the rooms that they tell of. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Health } from './health.ts';
import type { QuotaReading, Sources, TierReading } from './metrics/readings.ts';
import type { Notice } from './notice.ts';
import { allowancesBy, EGRESS } from './quota/scopes.ts';
import type { Stores } from './stores.ts';
import { createPlainTracing, type Tracing } from './tracing/trace.ts';

/** What runs here, by the package's own word. */
export const VERSION = versionOf(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

function versionOf(text: string): string {
  const { version } = JSON.parse(text) as { version?: unknown };
  return typeof version === 'string' ? version : 'unknown';
}

/** Opens tracing. OpenTelemetry is loaded only where there is a collector to send spans to. */
export async function openTracing(
  { otlpUrl, sampleRatio }: Config['tracing'],
  deps: { clock: Clock; notice: Notice },
): Promise<Tracing> {
  if (otlpUrl === undefined) return createPlainTracing();
  const { createOtelTracing } = await import('./tracing/otel.ts');
  return createOtelTracing({ otlpUrl, sampleRatio, version: VERSION, instance: randomUUID() }, deps);
}

/** Where the metrics read what the stores keep count of. */
export function sourcesOf(
  { quota, redis }: Pick<Config, 'quota' | 'redis'>,
  stores: Stores,
  { isDegraded }: Pick<Health, 'isDegraded'>,
): Sources {
  const { slots, cache, spool, siblingSpool, access, outage, clientCount, audit } = stores;
  const allowanceOf = allowancesBy(quota);
  const scopes = quota.perInterface ? KINDS.map((kind) => `${EGRESS}:${kind}`) : [EGRESS];
  const { windowMs } = allowanceOf(EGRESS);
  const readQuota = (): QuotaReading => {
    const { usedWithin, ...stats } = slots.stats();
    const used = usedWithin(windowMs);
    const read = (scope: string) => ({ limit: allowanceOf(scope).slots, used: used.get(scope) ?? 0 });
    return { ...stats, windowMs, scopes: new Map(scopes.map((scope) => [scope, read(scope)])) };
  };
  const readCache = (): Map<string, TierReading> => {
    const { memory, disk } = cache.stats();
    const tiers = new Map<string, TierReading>([['memory', { ...memory, errors: {} }]]);
    if (disk) {
      const { faults, corrupt, droppedWrites } = disk;
      tiers.set('disk', { ...disk, errors: { fault: faults, corrupt, dropped_write: droppedWrites } });
    }
    return tiers;
  };
  return {
    quota: readQuota,
    cache: readCache,
    spools: () =>
      new Map([
        ['uploads', spool.usage],
        ['siblings', siblingSpool.usage],
      ]),
    audit: () => audit?.stats() ?? { written: 0, lost: 0 },
    degraded: () => ({
      quota: slots.stats().isAway,
      client_limit: redis.url !== undefined && !clientCount.isShared,
      access: access.stats().shared === 'away',
      cache_disk: cache.stats().disk?.state === 'away',
      upstream: outage.isOn,
      audit: isDegraded('audit'),
      scan: isDegraded('scan'),
      config: isDegraded('config'),
    }),
  };
}

const KINDS = ['upload', 'download', 'thumbnail', 'sibling'] as const;

/** What is read from the rooms when somebody looks: they keep these numbers anyway. */
import { CLASSES, COMPONENTS, type QUEUE_REFUSALS } from './labels.ts';
import type { Series } from './series.ts';

/** Who waits of one class: how many, what their bodies weigh, and how long the first of them has waited, in ms. */
export type Waiting = { requests: number; bytes: number; oldestMs: number };

/** What the quota tells of itself. */
export type QuotaReading = {
  /** By scope: what is allowed in one window, and what this replica has used of it in the last one. */
  scopes: ReadonlyMap<string, { limit: number; used: number }>;
  windowMs: number;
  slots: Readonly<Record<'granted' | 'returned' | 'expired', number>>;
  refused: Readonly<Record<(typeof QUEUE_REFUSALS)[number], number>>;
  waiting: ReadonlyMap<string, Waiting>;
  replicas: number;
};

/** One tier of the cache; `errors` by what went wrong. */
export type TierReading = {
  bytes: number;
  entries: number;
  evictions: number;
  errors: Readonly<Record<string, number>>;
};

/** Where the numbers come from. */
export type Sources = {
  quota: () => QuotaReading;
  cache: () => ReadonlyMap<string, TierReading>;
  /** The spools, by what lies in them: bytes in memory and on the disk, and bodies. */
  spools: () => ReadonlyMap<string, { memoryBytes: number; diskBytes: number; bodies: number }>;
  /** How many lines of the audit log went out, and how many were lost. */
  audit: () => Readonly<Record<'written' | 'lost', number>>;
  /** The components that are out of order now, of those that there are. */
  degraded: () => Readonly<Partial<Record<(typeof COMPONENTS)[number], boolean>>>;
};

const SECOND = 1000;

/** Makes the series that are read from these sources at each scrape. */
export function readSources(series: Series, sources: Sources): void {
  const quota = onceALook(sources.quota);
  readQuota(series, quota);
  readQueue(series, quota);
  readCache(series, onceALook(sources.cache));
  readSpools(series, onceALook(sources.spools));
  series.readCounter(
    'chatfiles_audit_lines_total',
    'Lines of the audit log: written, or lost for want of room while they could not be.',
    ['outcome'],
    () => Object.entries(sources.audit()).map(([outcome, count]) => [{ outcome }, count] as const),
  );
  series.readGauge(
    'chatfiles_degraded',
    '1 while a component is out of order and the gateway goes on without it.',
    ['component'],
    () => {
      const degraded = sources.degraded();
      return COMPONENTS.map((component) => [{ component }, degraded[component] === true ? 1 : 0] as const);
    },
  );
}

/** All series of a scrape are read in one go: from one reading, which so fits together, and is made once. */
function onceALook<Reading>(read: () => Reading): () => Reading {
  let last: { reading: Reading } | undefined;
  return () => {
    if (!last) queueMicrotask(() => (last = undefined));
    last ??= { reading: read() };
    return last.reading;
  };
}

function readQuota(series: Series, quota: Sources['quota']): void {
  series.readGauge('chatfiles_quota_limit', 'Attempts that the upstream allows in one window.', ['scope'], () =>
    [...quota().scopes].map(([scope, { limit }]) => [{ scope }, limit] as const),
  );
  series.readGauge('chatfiles_quota_window_seconds', 'The length of that window, the margin included.', [], () => [
    [{}, quota().windowMs / SECOND],
  ]);
  series.readGauge(
    'chatfiles_quota_used',
    'Attempts that this replica was let make in the last window; the sum over replicas is what is used.',
    ['scope'],
    () => [...quota().scopes].map(([scope, { used }]) => [{ scope }, used] as const),
  );
  series.readCounter(
    'chatfiles_quota_permits_total',
    'Slots by what became of them: used for an attempt, given back unused, or gone by unused.',
    ['outcome'],
    () => Object.entries(quota().slots).map(([outcome, count]) => [{ outcome }, count] as const),
  );
  series.readGauge('chatfiles_replicas', 'Replicas that share the quota, as far as this one knows.', [], () => [
    [{}, quota().replicas],
  ]);
}

function readQueue(series: Series, quota: Sources['quota']): void {
  const byClass = (read: (waiting: Waiting) => number) => () => {
    const { waiting } = quota();
    return CLASSES.map((name) => [{ class: name }, read(waiting.get(name) ?? NOBODY)] as const);
  };
  series.readGauge(
    'chatfiles_queue_depth',
    'Requests that wait for a slot.',
    ['class'],
    byClass(({ requests }) => requests),
  );
  series.readGauge(
    'chatfiles_queue_oldest_seconds',
    'How long the request has waited that has waited longest.',
    ['class'],
    byClass(({ oldestMs }) => oldestMs / SECOND),
  );
  series.readGauge(
    'chatfiles_queue_bytes',
    'What the bodies weigh that wait for a slot.',
    ['class'],
    byClass(({ bytes }) => bytes),
  );
  series.readCounter(
    'chatfiles_queue_refused_total',
    'Requests that got no slot, by why: the wait would be or became too long, the line, its bytes or the part of their ' +
      'client was full, the gateway ended, or the client left.',
    ['reason'],
    () => Object.entries(quota().refused).map(([reason, count]) => [{ reason }, count] as const),
  );
}

const NOBODY: Waiting = { requests: 0, bytes: 0, oldestMs: 0 };

function readCache(series: Series, cache: Sources['cache']): void {
  const byTier = (read: (tier: TierReading) => number) => () =>
    [...cache()].map(([tier, reading]) => [{ tier }, read(reading)] as const);
  series.readGauge(
    'chatfiles_cache_bytes',
    'What is kept in a tier of the cache.',
    ['tier'],
    byTier(({ bytes }) => bytes),
  );
  series.readGauge(
    'chatfiles_cache_entries',
    'How many files are kept in a tier.',
    ['tier'],
    byTier(({ entries }) => entries),
  );
  series.readCounter(
    'chatfiles_cache_evictions_total',
    'Files that went to make room for others.',
    ['tier'],
    byTier(({ evictions }) => evictions),
  );
  series.readCounter(
    'chatfiles_cache_errors_total',
    'What went wrong in a tier: a step of the file system that failed, a record that was damaged, a write that was dropped.',
    ['tier', 'reason'],
    () =>
      [...cache()].flatMap(([tier, { errors }]) =>
        Object.entries(errors).map(([reason, count]) => [{ tier, reason }, count] as const),
      ),
  );
}

function readSpools(series: Series, spools: Sources['spools']): void {
  const bySpool = (read: (usage: { memoryBytes: number; diskBytes: number; bodies: number }) => number) => () =>
    [...spools()].map(([spool, usage]) => [{ spool }, read(usage)] as const);
  series.readGauge(
    'chatfiles_spool_bytes',
    'What bodies hold in memory while they wait.',
    ['spool'],
    bySpool(({ memoryBytes }) => memoryBytes),
  );
  series.readGauge(
    'chatfiles_spool_disk_bytes',
    'What bodies hold on the disk while they wait.',
    ['spool'],
    bySpool(({ diskBytes }) => diskBytes),
  );
  series.readGauge(
    'chatfiles_spool_bodies',
    'Bodies that wait.',
    ['spool'],
    bySpool(({ bodies }) => bodies),
  );
}

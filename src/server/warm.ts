/**
 * Thumbnails that are fetched before anybody asks: of pictures that were just uploaded, with slots that nobody needs.
 *
 * 1. An upload of a picture puts its thumbnail on a short list. It is fetched with the uploader's own token and the
 *    secret that the upload's answer bore, so all that is learnt is what the upstream said to exactly these.
 * 2. The list is looked at a few times a second, and one is tried at a time. What finds no spare slot waits a while.
 * 3. What was asked for meanwhile, or has waited too long, is dropped.
 */
import { randomUUID } from 'node:crypto';
import type { Bearer } from '../access/bearer.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { createPlainTracing } from '../tracing/trace.ts';
import { downloadHeaders } from '../upstream/headers.ts';
import type { Exchange } from './exchange.ts';
import { dispose, fetchKept, type FetchDeps } from './fetch-kept.ts';

/** A picture that went up, by whom, and the secret to see it, if it needs one. */
export type WarmJob = { bearer: Bearer; file: string; secret: string | undefined; path: string };

/** Fetches thumbnails ahead; disposing drops what is on the list. */
export type Warmer = Disposable & { add(job: WarmJob): void };

const MAX_JOBS = 100;
const EVERY_MS = 250;
/** After so long, those who were to see it have asked for it themselves. */
const LASTS_MS = 30_000;

/** Opens an empty list; how to fetch is asked anew for each, since it may change meanwhile. */
export function createWarmer(depsNow: () => FetchDeps, clock: Clock): Warmer {
  const jobs: (WarmJob & { until: number })[] = [];
  const closing = new AbortController();
  let cancelTimer = () => {};
  let isBusy = false;

  const later = () => {
    cancelTimer();
    if (jobs.length > 0 && !closing.signal.aborted) cancelTimer = clock.after(EVERY_MS, () => void tryNext());
  };
  const tryNext = async () => {
    const job = jobs[0];
    if (!job || isBusy) return;
    isBusy = true;
    const isOver = clock.monotonic() > job.until || (await warm(job, depsNow(), closing.signal));
    isBusy = false;
    if (isOver) jobs.splice(jobs.indexOf(job), 1);
    later();
  };

  return {
    add(job) {
      if (jobs.length >= MAX_JOBS || depsNow().cache.fromMemory(keyOf(job))) return;
      jobs.push({ ...job, until: clock.monotonic() + LASTS_MS });
      if (!isBusy) later();
    },
    [Symbol.dispose]() {
      jobs.length = 0;
      cancelTimer();
      closing.abort();
    },
  };
}

const keyOf = ({ bearer, file }: WarmJob) => ({ app: bearer.app, file, variant: 'thumbnail' }) as const;

/** Fetches one thumbnail; false if there was no slot to spare. */
async function warm({ bearer, file, secret, path }: WarmJob, deps: FetchDeps, closing: AbortSignal): Promise<boolean> {
  const key = keyOf({ bearer, file, secret, path });
  if (deps.cache.fromMemory(key)) return true;
  const headers = downloadHeaders({ thumbnail: 'true', ...(secret && { 'share-secret': secret }) }, bearer.token);
  const fetch = { key, variant: key.variant, bearer, asked: { file, secret }, path, headers, entry: undefined };
  try {
    const fetched = await fetchKept({ ...fetch, closing, isSpare: true, mayLeave: () => false }, nobody(closing), deps);
    if (fetched.kind === 'passed' && fetched.outcome.kind === 'answer') dispose(fetched.outcome);
    return true;
  } catch (thrown) {
    return !(thrown instanceof GatewayError && thrown.code === 'QUEUE_FULL');
  }
}

/** An exchange without a client. */
const nobody = (signal: AbortSignal, id = randomUUID()): Exchange => ({
  id,
  startedAt: 0,
  signal,
  client: 'warm',
  trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
  trace: tracing.begin({}, id),
  route: 'thumbnail',
  bytesIn: 0,
  bytesOut: 0,
});

/** Nobody asked, so nobody's trace is gone on with, and none is recorded. */
const tracing = createPlainTracing();

/** What is counted of each request at its end, from its one summary. */
import { codesOf, denials, statusLabel } from './labels.ts';
import { type Count, each, type Observe, type Series } from './series.ts';

/** Of a request's summary, what is counted: words of closed sets, numbers, and an app that may have a series of its own. */
export type Counted = {
  method: string;
  route: string;
  status: number;
  error: string | undefined;
  source: string | undefined;
  /** What a policy would have refused it with that only reports. */
  wouldDeny: string | undefined;
  app: string | undefined;
  cache: string | undefined;
  attempts: number;
  durationMs: number;
  bytesIn: number;
};

/** OpenTelemetry's buckets for HTTP, and two more: this gateway lets requests wait, and takes uploads. */
export const HTTP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];

const KB = 1024;
const MB = 1024 * KB;
const UPLOAD_BUCKETS = [10 * KB, 100 * KB, 512 * KB, MB, 2 * MB, 5 * MB, 10 * MB, 25 * MB, 100 * MB];

/** That a client has gone is nobody's refusal; such requests have the status 499. */
const REFUSALS = codesOf('downstream').filter((code) => code !== 'CLIENT_GONE');

const RESULTS = [
  { tier: 'memory', result: 'hit' },
  { tier: 'disk', result: 'hit' },
  { tier: 'none', result: 'stale' },
  { tier: 'none', result: 'collapsed' },
  { tier: 'none', result: 'miss' },
  { tier: 'none', result: 'revalidated' },
  { tier: 'none', result: 'bypass' },
] as const;

/** The apps that have a series of their own; all others together are "other". */
export type RequestOptions = { apps: readonly string[] };

/** Makes the function that counts a request. */
export function countRequests(series: Series, { apps }: RequestOptions): (counted: Counted) => void {
  const duration = series.histogram(
    'http_server_request_duration_seconds',
    'Time from the arrival of a request to the end of its answer.',
    HTTP_BUCKETS,
    ['http_request_method', 'http_route', 'http_response_status_code'],
  );
  const refusals = series.counter(
    'chatfiles_policy_refusals_total',
    'Requests that were refused here for what their client did, by the code of the refusal.',
    ['reason'],
    each('reason', REFUSALS),
  );
  const reports = series.counter(
    'chatfiles_policy_reports_total',
    'Requests that were let go although a policy would refuse them that only reports, by the code of the refusal.',
    ['reason'],
    each('reason', denials()),
  );
  const failures = series.counter(
    'chatfiles_request_failures_total',
    "Requests that failed by the gateway's or the upstream's fault, by the code of the failure.",
    ['reason'],
    each('reason', codesOf('gateway', 'upstream')),
  );
  const results = series.counter(
    'chatfiles_cache_requests_total',
    'Requests for files, by what became of them in the cache, and where a hit was found.',
    ['tier', 'result'],
    RESULTS,
  );
  const uploadBytes = series.histogram(
    'chatfiles_upload_bytes',
    'Size of the bodies of uploads that came to a good end.',
    UPLOAD_BUCKETS,
  )({});
  const byApp =
    apps.length === 0
      ? undefined
      : {
          requests: series.counter('chatfiles_app_requests_total', 'Requests by app.', ['app'], each('app', apps)),
          attempts: series.counter(
            'chatfiles_app_upstream_attempts_total',
            'Attempts at the upstream by app: what each uses of the quota.',
            ['app'],
            each('app', apps),
          ),
        };

  const durations = remembered((_labels: string, { method, route, status }: Counted) =>
    duration({
      http_request_method: method,
      http_route: route,
      http_response_status_code: statusLabel(status),
    }),
  );
  const cacheResults = remembered((note: string) => results(readNote(note)));
  const codes = remembered((code: string, { source }: Counted) =>
    source === 'downstream' ? refusals({ reason: code }) : failures({ reason: code }),
  );
  const reported = remembered((code: string) => reports({ reason: code }));
  const known = new Set(apps);

  return (counted) => {
    const { method, route, status, error, app, cache, attempts, durationMs, bytesIn } = counted;
    durations(`${method} ${route} ${status}`, counted)(durationMs / 1000);
    if (cache !== undefined) cacheResults(cache, counted)();
    if (error !== undefined && error !== 'CLIENT_GONE') codes(error, counted)();
    if (counted.wouldDeny !== undefined) reported(counted.wouldDeny, counted)();
    if (route === 'upload' && bytesIn > 0 && error === undefined) uploadBytes(bytesIn);
    if (byApp === undefined) return;
    const labels = { app: app !== undefined && known.has(app) ? app : 'other' };
    byApp.requests(labels)();
    byApp.attempts(labels)(attempts);
  };
}

/** No more are remembered than this: statuses come from the upstream, and a note of the cache names one. */
const MAX_REMEMBERED = 1000;

/** Remembers what was made for a name, so that labels are looked at once and not for every request. */
function remembered<Made extends Observe | Count>(
  make: (name: string, counted: Counted) => Made,
): (name: string, counted: Counted) => Made {
  const made = new Map<string, Made>();
  return (name, counted) => {
    const known = made.get(name);
    if (known !== undefined) return known;
    if (made.size >= MAX_REMEMBERED) made.clear();
    const fresh = make(name, counted);
    made.set(name, fresh);
    return fresh;
  };
}

/** Reads what a client was told of the cache (`Cache-Status`) as one of the results that are counted. */
function readNote(note: string): (typeof RESULTS)[number] {
  const [memory, disk, stale, collapsed, miss, revalidated, bypass] = RESULTS;
  if (note.includes('detail=memory')) return memory;
  if (note.includes('detail=disk')) return disk;
  if (note.includes('detail=grace')) return stale;
  if (note.includes('fwd=bypass')) return bypass;
  if (note.includes('collapsed')) return collapsed;
  return note.includes('fwd-status=304') ? revalidated : miss;
}

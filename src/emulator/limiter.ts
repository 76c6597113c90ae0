import { z } from 'zod';

/** The three interfaces that the page limits. */
export type LimitedInterface = 'upload' | 'download' | 'thumbnail';

/** How the limiter can be set; every field has the page's behaviour as its default. */
export const limiterSchema = z.strictObject({
  algorithm: z.enum(['fixed-window', 'sliding-log', 'token-bucket', 'small-burst', 'off']).default('sliding-log'),
  perSecond: z.number().int().min(1).max(1_000_000).default(30),
  /** What one app may send in a second besides, whatever its addresses; 0: apps are not counted. */
  appPerSecond: z.number().int().min(0).max(1_000_000).default(0),
  /** `together`: one allowance for the three interfaces; `each`: one for every interface. */
  scope: z.enum(['together', 'each']).default('together'),
  /** Where in the second the fixed window begins. */
  phaseMs: z.number().min(0).max(1000).default(0),
  /** How many requests the small-burst bucket holds. */
  burst: z.number().int().min(1).max(1_000_000).default(5),
  status: z.union([z.literal(503), z.literal(429)]).default(503),
  retryAfter: z.enum(['none', 'seconds', 'date']).default('none'),
  /** Whether a refused request uses up allowance too, so that hammering keeps a client out. */
  countRefused: z.boolean().default(false),
});

/** The limiter's settings. */
export type LimiterOptions = z.infer<typeof limiterSchema>;

/** Whether a request may go on; if not, how long until one might. */
export type Admission = { accepted: true } | { accepted: false; retryAfterMs: number };

/** Decides at a request's arrival, for each source address and each app by itself. */
export type Limiter = {
  admit(source: string, wanted: LimitedInterface, app?: string): Admission;
  /** Changes what is given and begins anew. */
  set(partial: Partial<LimiterOptions>): void;
  readonly options: LimiterOptions;
};

/** One allowance: tells how many milliseconds the request of this moment comes too early, 0 when it is accepted. */
type Allowance = (nowMs: number) => number;

const SECOND_MS = 1000;
const MAX_SOURCES = 10_000;
// Adding fractions of a token must not leave a full token a hair short of one.
const EPSILON = 1e-9;

function fixedWindow({ perSecond, phaseMs }: LimiterOptions): Allowance {
  let window = -Infinity;
  let count = 0;
  return (nowMs) => {
    const current = Math.floor((nowMs - phaseMs) / SECOND_MS);
    if (current !== window) {
      window = current;
      count = 0;
    }
    count += 1;
    return count <= perSecond ? 0 : (current + 1) * SECOND_MS + phaseMs - nowMs;
  };
}

function slidingLog({ perSecond, countRefused }: LimiterOptions): Allowance {
  const log: number[] = [];
  return (nowMs) => {
    while (log[0] !== undefined && log[0] <= nowMs - SECOND_MS) log.shift();
    if (log.length < perSecond) {
      log.push(nowMs);
      return 0;
    }
    if (countRefused) {
      log.shift();
      log.push(nowMs);
    }
    return (log[0] ?? nowMs) + SECOND_MS - nowMs;
  };
}

function bucket({ perSecond, countRefused }: LimiterOptions, capacity: number): Allowance {
  let tokens = capacity;
  let filledAt: number | undefined;
  return (nowMs) => {
    const elapsedMs = Math.max(0, nowMs - (filledAt ?? nowMs));
    tokens = Math.min(capacity, tokens + (elapsedMs * perSecond) / SECOND_MS);
    filledAt = nowMs;
    if (tokens + EPSILON >= 1) {
      tokens -= 1;
      return 0;
    }
    // A debt is bounded, so that the end of hammering is the end of the punishment within about a second.
    if (countRefused) tokens = Math.max(-capacity, tokens - 1);
    return ((1 - tokens) * SECOND_MS) / perSecond;
  };
}

const ALGORITHMS: Record<LimiterOptions['algorithm'], (options: LimiterOptions) => Allowance> = {
  'fixed-window': fixedWindow,
  'sliding-log': slidingLog,
  'token-bucket': (options) => bucket(options, options.perSecond),
  'small-burst': (options) => bucket(options, options.burst),
  off: () => () => 0,
};

/** Makes a limiter that asks `now` for the time at every request. */
export function createLimiter(given: Partial<LimiterOptions>, now: () => number): Limiter {
  let options = limiterSchema.parse(given);
  const allowances = new Map<string, Allowance>();

  const ask = (whose: string, wanted: LimitedInterface, perSecond: number): number => {
    const key = options.scope === 'each' ? `${wanted} ${whose}` : whose;
    const allowance = allowances.get(key) ?? ALGORITHMS[options.algorithm]({ ...options, perSecond });
    // Put at the end again, so that the one used longest ago is the first to be forgotten.
    allowances.delete(key);
    allowances.set(key, allowance);
    const [oldest] = allowances.keys();
    if (allowances.size > MAX_SOURCES && oldest !== undefined) allowances.delete(oldest);
    return allowance(now());
  };

  return {
    admit(source, wanted, app) {
      const isCounted = app !== undefined && options.appPerSecond > 0;
      // One that its app may not send does not count for its address; the other way round it does.
      const ofApp = isCounted ? ask(`app ${app}`, wanted, options.appPerSecond) : 0;
      const retryAfterMs = ofApp > 0 ? ofApp : ask(`from ${source}`, wanted, options.perSecond);
      return retryAfterMs <= 0 ? { accepted: true } : { accepted: false, retryAfterMs };
    },
    set(partial) {
      options = limiterSchema.parse({ ...options, ...partial });
      allowances.clear();
    },
    get options() {
      return options;
    },
  };
}

/**
 * How much of each file that goes up in parts has come so far, over all replicas: the parts of one file go to whichever.
 *
 * 1. A sum begins when the upstream has begun the upload. Parts of an upload that nobody has begun here are unknown.
 * 2. With Redis the sums are there. While it is away nothing can be counted, and nothing is let through: a client that
 *    cannot upload in parts falls back to one plain upload, which is judged by itself.
 * 3. Without Redis they are in this process, so many at most. None is forgotten for another's sake: that would let whoever
 *    begins enough of them start from nothing again.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import type { RedisConfig } from '../redis/config.ts';
import { connectRedis, type RedisConnection, watchRedis } from '../redis/connection.ts';

/** What becomes of a part: let through, too much, of an upload that is not known, or not to be counted at the moment. */
export type PartVerdict = 'added' | 'too-large' | 'unknown' | 'away';

/** The sums of the uploads that are under way; `app` is `org/app`, `id` the upstream's name of the upload. Never rejects. */
export type PartSums = Disposable & {
  /** Begins a sum; false when it cannot be counted. One that runs already goes on. */
  begin(app: string, id: string): Promise<boolean>;
  /** Adds a part, unless the whole would then be larger than `maxBytes`. */
  add(app: string, id: string, bytes: number, maxBytes: number): Promise<PartVerdict>;
  /** The upstream has refused these bytes. */
  giveBack(app: string, id: string, bytes: number): Promise<void>;
  /** The upload is over. */
  end(app: string, id: string): Promise<void>;
};

/** How many sums this process holds where there is no Redis. */
export type PartSumsOptions = { maxUploads?: number };

/** An upload of which nothing was heard for so long is forgotten, in ms. */
const KEEP_MS = 3_600_000;
/** Raised when what is written to the keys changes. */
const LAYOUT = 'v1';
const ADD_PART = readFileSync(new URL('./lua/add-part.lua', import.meta.url), 'utf8');

/** Opens the sums: in Redis where one is configured, else in this process. */
export function createPartSums(redis: RedisConfig | undefined, clock: Clock, options: PartSumsOptions = {}): PartSums {
  if (redis?.url === undefined) return createLocalSums(options, clock);
  const connection = connectRedis(redis.url);
  watchRedis(connection, 'parts', redis.watch);
  return createRedisSums(connection, redis.keyPrefix);
}

function createLocalSums({ maxUploads = 10_000 }: PartSumsOptions, clock: Clock): PartSums {
  const sums = new Map<string, { bytes: number; until: number }>();
  const known = (app: string, id: string) => {
    const sum = sums.get(`${app}/${id}`);
    return sum && sum.until > clock.monotonic() ? sum : undefined;
  };
  const makeRoom = () => {
    for (const [name, { until }] of sums) if (until <= clock.monotonic()) sums.delete(name);
  };
  return {
    async begin(app, id) {
      if (known(app, id)) return true;
      if (sums.size >= maxUploads) makeRoom();
      if (sums.size >= maxUploads) return false;
      sums.set(`${app}/${id}`, { bytes: 0, until: clock.monotonic() + KEEP_MS });
      return true;
    },
    async add(app, id, bytes, maxBytes) {
      const sum = known(app, id);
      if (!sum) return 'unknown';
      if (sum.bytes + bytes > maxBytes) return 'too-large';
      sum.bytes += bytes;
      sum.until = clock.monotonic() + KEEP_MS;
      return 'added';
    },
    async giveBack(app, id, bytes) {
      const sum = known(app, id);
      if (sum) sum.bytes -= bytes;
    },
    async end(app, id) {
      sums.delete(`${app}/${id}`);
    },
    [Symbol.dispose]() {
      sums.clear();
    },
  };
}

type Scripts = { chatfilesAddPart(keys: number, ...args: (string | number)[]): Promise<number> };

function createRedisSums(redis: RedisConnection, keyPrefix: string): PartSums {
  redis.defineCommand('chatfilesAddPart', { lua: ADD_PART });
  const scripts = redis as unknown as Scripts;
  const nameOf = (app: string, id: string) => `${keyPrefix}parts:${LAYOUT}:${app}/${id}`;
  const add = (app: string, id: string, bytes: number, maxBytes: number) =>
    scripts.chatfilesAddPart(1, nameOf(app, id), bytes, maxBytes, KEEP_MS);
  return {
    async begin(app, id) {
      return redis.set(nameOf(app, id), 0, 'PX', KEEP_MS, 'NX').then(
        () => true,
        () => false,
      );
    },
    async add(app, id, bytes, maxBytes) {
      try {
        const verdict = await add(app, id, bytes, maxBytes);
        return verdict === 1 ? 'added' : verdict === 0 ? 'too-large' : 'unknown';
      } catch {
        return 'away';
      }
    },
    async giveBack(app, id, bytes) {
      // If that fails, the upload may end before its limit, and never behind it.
      await add(app, id, -bytes, Number.MAX_SAFE_INTEGER).catch(() => {});
    },
    async end(app, id) {
      await redis.del(nameOf(app, id)).catch(() => {});
    },
    [Symbol.dispose]() {
      redis.disconnect();
    },
  };
}

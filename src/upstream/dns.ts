/**
 * The addresses behind the upstream's name: asked for once in a while instead of for every connection, and followed when
 * they change.
 *
 *   1. An answer is used for `ttlMs`; then the resolver is asked again, once for everybody who waits.
 *   2. While it fails, or takes longer than a moment, the old answer is used on (RFC 8767), for an hour at the most.
 *      That there is no such name is an answer, and no failure.
 *   3. Without an old answer, a failure is told to everybody for a second before the resolver is asked again.
 *   4. An address that did not let itself be connected to stands last for a while, and the resolver is asked again soon.
 *
 * The system's resolver has no time to live to tell, and blocks a thread of those that read and write files, too: a
 * resolver that hangs must never get more than one of them.
 */
import { ADDRCONFIG, type LookupAddress } from 'node:dns';
import { lookup as lookupBySystem } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';

/** Asks for all addresses of a name; rejects with the resolver's error. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

/** What is known of names; `lookup` is made for sockets to call. */
export type Names = {
  lookup: LookupFunction;
  /** Whether an address is still one of the name's; asks again in the background when the answer has become old. */
  isCurrent(hostname: string, address: string): boolean;
  /** Notes that there was no connection to be had, at this address of the name or at any. */
  doubt(hostname: string, address?: string): void;
};

/** The system's resolver: it knows the hosts file and whatever else this machine resolves names by. */
export const systemResolve: Resolve = (hostname) => lookupBySystem(hostname, { all: true, hints: ADDRCONFIG });

/** How long an old answer may stand in for a resolver that fails, how long it is waited for, and how often it is asked, in ms. */
const STALE_MS = 3_600_000;
const PATIENCE_MS = 500;
const PAUSE_MS = 1000;
/** How long a doubt speaks against an address, in ms. */
const DOUBT_MS = 60_000;
/** How many names are remembered; there is one upstream, and who follows redirects knows a few more. */
const MAX_NAMES = 100;

/** The codes by which a resolver says that there is nothing behind a name, as against that it could not find out. */
const NOTHING_THERE = new Set(['ENOTFOUND', 'ENODATA']);

type Entry = {
  /** The newest answer, and when it came; none yet, or none any more, is no addresses. */
  addresses: LookupAddress[];
  answeredAt: number;
  /** Why there was no answer the last time, and when. */
  error: Error | undefined;
  failedAt: number;
  pending: Promise<void> | undefined;
  doubts: Map<string, number>;
};

/** Opens an empty memory of names. */
export function createNames({ ttlMs }: { ttlMs: number }, clock: Clock, resolve: Resolve = systemResolve): Names {
  const entries = new Map<string, Entry>();

  const entryOf = (hostname: string): Entry => {
    const known = entries.get(hostname);
    if (known) return known;
    const [oldest] = entries.keys();
    if (entries.size >= MAX_NAMES && oldest !== undefined) entries.delete(oldest);
    const entry: Entry = {
      addresses: [],
      answeredAt: -Infinity,
      error: undefined,
      failedAt: -Infinity,
      pending: undefined,
      doubts: new Map(),
    };
    entries.set(hostname, entry);
    return entry;
  };

  const ask = async (hostname: string, entry: Entry): Promise<void> => {
    try {
      const addresses = await resolve(hostname);
      if (addresses.length === 0) throw nothingThere(hostname);
      Object.assign(entry, { addresses, answeredAt: clock.monotonic(), error: undefined });
    } catch (thrown) {
      entry.error = thrown instanceof Error ? thrown : new Error(String(thrown));
      entry.failedAt = clock.monotonic();
      if (NOTHING_THERE.has(codeOf(entry.error))) entry.addresses = [];
    }
    entry.pending = undefined;
  };

  const isFresh = ({ addresses, answeredAt }: Entry) => addresses.length > 0 && clock.monotonic() - answeredAt < ttlMs;
  const isUsable = ({ addresses, answeredAt }: Entry) =>
    addresses.length > 0 && clock.monotonic() - answeredAt < STALE_MS;
  const hasJustFailed = ({ error, failedAt }: Entry) => error !== undefined && clock.monotonic() - failedAt < PAUSE_MS;
  const refresh = (hostname: string, entry: Entry): Promise<void> => (entry.pending ??= ask(hostname, entry));

  const addressesOf = async (hostname: string): Promise<LookupAddress[] | Error> => {
    const entry = entryOf(hostname);
    if (!isFresh(entry) && !hasJustFailed(entry)) {
      const refreshed = refresh(hostname, entry);
      await (isUsable(entry) ? atMost(PATIENCE_MS, refreshed, clock) : refreshed);
    }
    if (!isUsable(entry)) return entry.error ?? nothingThere(hostname);
    return doubtedLast(entry, clock.monotonic());
  };

  const answer = async (...[hostname, { all, family }, callback]: Parameters<LookupFunction>): Promise<void> => {
    const found = await addressesOf(hostname);
    const fitting = found instanceof Error ? [] : found.filter((each) => !isFamily(family) || each.family === family);
    const [first] = fitting;
    // Out of the promise: what a callback throws is its own affair.
    process.nextTick(() => {
      if (!first) callback(found instanceof Error ? found : nothingThere(hostname), all ? [] : '');
      else if (all) callback(null, fitting);
      else callback(null, first.address, first.family);
    });
  };

  return {
    lookup: (hostname, options, callback) => void answer(hostname, options, callback),
    isCurrent(hostname, address) {
      const entry = entries.get(hostname);
      if (isIP(hostname) !== 0 || !entry) return true;
      if (!isFresh(entry) && !hasJustFailed(entry)) void refresh(hostname, entry);
      return entry.addresses.some((each) => each.address === address);
    },
    doubt(hostname, address) {
      const entry = entries.get(hostname);
      if (!entry) return;
      const now = clock.monotonic();
      if (address !== undefined) entry.doubts.set(address, now);
      // An answer that came within the last second would come again.
      if (now - entry.answeredAt >= PAUSE_MS) entry.answeredAt = Math.min(entry.answeredAt, now - ttlMs);
    },
  };
}

/** All addresses, those last that gave no connection lately: there may be nothing better. */
function doubtedLast({ addresses, doubts }: Entry, now: number): LookupAddress[] {
  for (const [address, at] of doubts) if (now - at >= DOUBT_MS) doubts.delete(address);
  if (doubts.size === 0) return addresses;
  const isDoubted = ({ address }: LookupAddress) => doubts.has(address);
  return [...addresses.filter((each) => !isDoubted(each)), ...addresses.filter(isDoubted)];
}

/** Waits for a promise, but no longer than so many ms. */
async function atMost(ms: number, promise: Promise<void>, clock: Clock): Promise<void> {
  let cancel = () => {};
  const tooLong = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  await Promise.race([promise, tooLong]);
  cancel();
}

const nothingThere = (hostname: string): Error =>
  Object.assign(new Error(`there is no address for ${hostname}`), { code: 'ENODATA' });

const isFamily = (family: unknown): family is 4 | 6 => family === 4 || family === 6;

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

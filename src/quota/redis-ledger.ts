/**
 * The account of slots that all replicas of an egress share: the Lua scripts, and the clocks on both sides.
 *
 * Redis's clock is the only one: slots are times on it. This process knows its own monotonic clock and the offset
 * between the two, which it takes from the exchange with the shortest round trip: the time of a reply that came late
 * would make every slot late by as much.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import { COMMAND_TIMEOUT_MS, type RedisConnection } from '../redis/connection.ts';
import { CAUTION } from './caution.ts';
import {
  AHEAD,
  type Allowances,
  type Ask,
  CATCH_UP,
  type Grant,
  type Pacing,
  type Scopes,
  type Slot,
} from './ledger.ts';

/** Which account, who asks, and by which rule. */
export type RedisLedgerOptions = {
  allowances: Allowances;
  pacing: Pacing;
  /** The source address that replicas share, by a name of the operator's. */
  egress: string;
  keyPrefix: string;
  /** The part of all slots that clients get whose credentials the upstream has not accepted, while others wait. */
  unprovenShare: number;
  /** Unique among all replicas that ever were. */
  replica: string;
  /** Added to Redis's clock, for tests that cannot wait. */
  shiftMs?: () => number;
  /** Called once each time that another replica is found to believe in a lower rate. */
  onLowered?: () => void;
};

/** How many replicas there are, this one among them. */
export type Members = { members: number };

/** The shared account; unlike a Ledger's, its promises reject while Redis is away. */
export type RedisLedger = {
  /** `comesBack`: this replica has handed out slots of its own meanwhile, and all must wait until those have passed. */
  reserve(ask: Ask, comesBack?: boolean): Promise<Grant & Members>;
  giveBack(slots: readonly Slot[], scopes: Scopes): Promise<void>;
  amend(slot: Slot, usedAt: number, scopes: Scopes): Promise<void>;
  refused(slot: Slot, scopes: Scopes): Promise<void>;
  /** Tells the others that this replica is going: their shares grow at once. */
  leave(): Promise<void>;
};

/** The layout of the keys; a version that changes it counts by itself, and the lower number of both is the sum. */
const LAYOUT = 'v2';
/** A replica that is not heard of for so long is no member any more, in ms. */
const MEMBER_MS = 3000;
/** An account that nobody uses is forgotten after so long, in ms. */
const KEEP_MS = 86_400_000;
/** How long a probe of those who were away may take to find Redis again, in ms; part of the hold. */
const RETURN_MS = 300;
/** The offset of the clocks is measured anew after so long, in ms: they drift. */
const OFFSET_MS = 30_000;
/** The other clock was set when its offset differs by more than this beyond what round trips explain, in ms. */
const JUMP_MS = 100;

const script = (name: string) => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
const RESERVE = script('reserve');
const REFUSED = script('refused');

type Scripts = {
  chatfilesReserve(keys: number, ...args: (string | number)[]): Promise<string[]>;
  chatfilesRefused(keys: number, ...args: (string | number)[]): Promise<string[]>;
};

/** Opens the shared account over a connection; the connection is the caller's to close. */
export function createRedisLedger(options: RedisLedgerOptions, redis: RedisConnection, clock: Clock): RedisLedger {
  const {
    allowances,
    pacing,
    egress,
    keyPrefix,
    unprovenShare,
    replica,
    shiftMs = () => 0,
    onLowered = () => {},
  } = options;
  redis.defineCommand('chatfilesReserve', { lua: RESERVE });
  redis.defineCommand('chatfilesRefused', { lua: REFUSED });
  const scripts = redis as unknown as Scripts;
  // One hash tag for all keys of an egress: a Cluster keeps them together, or no script could use them at once.
  const key = (name: string) => `${keyPrefix}${LAYOUT}:{${egress}}:${name}`;
  const scopeKey = (scope: string) => key(`slots:${scope}`);

  let offset: { ms: number; roundTripMs: number; at: number } | undefined;
  const lowered = new Set<string>();
  /** Redis's clock was set: slots that this replica knows of may be too early or forgotten on the new one. */
  let wasClockSet = false;

  /** Learns the offset from one exchange; false when the other clock was set since the last one. */
  const learnOffset = (sentAt: number, receivedAt: number, theirNow: number): boolean => {
    const roundTripMs = receivedAt - sentAt;
    const sample = { ms: theirNow - (sentAt + receivedAt) / 2, roundTripMs, at: receivedAt };
    const difference = offset === undefined ? 0 : Math.abs(sample.ms - offset.ms);
    const explainedMs = (roundTripMs + (offset?.roundTripMs ?? 0)) / 2;
    // The truth lies within half a round trip of the sample: an offset outside of that is proven wrong.
    const isBetter = !offset || roundTripMs <= offset.roundTripMs || sample.at > offset.at + OFFSET_MS;
    if (isBetter || difference > roundTripMs / 2) offset = sample;
    return difference <= explainedMs + JUMP_MS;
  };

  const warnOnce = (scopes: Scopes, flags: string) => {
    for (const [i, scope] of scopes.entries()) {
      if (flags[i] !== '1') lowered.delete(scope);
      else if (!lowered.has(scope) && lowered.add(scope).size === 1) onLowered();
    }
  };

  const reserve = async ({ count, scopes, clients, accepted }: Ask, comesBack = false): Promise<Grant & Members> => {
    const sentAt = clock.monotonic();
    const deadline = offset === undefined ? 0 : sentAt + offset.ms + COMMAND_TIMEOUT_MS;
    const limits = scopes.map((scope) => allowances(scope));
    const [{ slots: perWindow, windowMs } = { slots: 1, windowMs: 0 }] = limits;
    // A window must lie between the last slot of before, own or reserved ahead, and the first one of afterwards.
    const holdMs = windowMs + Math.max(RETURN_MS, (AHEAD * windowMs) / perWindow);
    const perScope = scopes.flatMap((scope) => [scopeKey(scope), key(`rates:${scope}`)]);
    const keys = [key('state'), key('members'), key('clients'), ...perScope];
    const waiting = `${clients.proven};${clients.unproven}`;
    const own = [replica, count, waiting, deadline, holdMs, comesBack || wasClockSet ? 1 : 0];
    const rule = [
      pacing,
      accepted ? 1 : 0,
      MEMBER_MS,
      KEEP_MS,
      shiftMs(),
      CATCH_UP,
      CAUTION.probeMs,
      CAUTION.firstPauseMs,
      unprovenShare / Math.max(1 - unprovenShare, Number.EPSILON),
    ];
    const rates = limits.flatMap(({ slots, windowMs }) => [slots, windowMs]);
    const reply = await scripts.chatfilesReserve(keys.length, ...keys, ...own, ...rule, ...rates);
    const [theirNow = '', again = '', members = '', share = '', pace = '', ...more] = reply;
    const [room = '', refill = '', isLowered = '', heldUp = '', ...pairs] = more;
    const isClockSteady = learnOffset(sentAt, clock.monotonic(), Number(theirNow));
    if (!isClockSteady) wasClockSet = true;
    if (again === 'late') throw new Error('the reservation reached Redis too late');
    const offsetMs = offset?.ms ?? 0;
    const slots: Slot[] = [];
    for (let i = 0; i < pairs.length; i += 2) slots.push({ id: pairs[i] ?? '', at: Number(pairs[i + 1]) - offsetMs });
    if (!isClockSteady) {
      void giveBack(slots, scopes).catch(() => {});
      throw new Error("Redis's clock was set");
    }
    wasClockSet = false;
    warnOnce(scopes, isLowered);
    return {
      slots: slots.toSorted((a, b) => a.at - b.at),
      askAgainAt: again === '0' ? undefined : Number(again) - offsetMs,
      // One that asks without having anybody who waits has all that nobody else has.
      share: Number(share) > 0 ? Number(share) : 1,
      paceMs: Number(pace),
      room: Number(room),
      refillAt: Number(refill) - offsetMs,
      isHeldUp: heldUp === '1',
      members: Number(members),
    };
  };

  const giveBack = async (slots: readonly Slot[], scopes: Scopes): Promise<void> => {
    const ids = slots.map(({ id }) => id);
    if (ids.length > 0) await Promise.all(scopes.map((scope) => redis.zrem(scopeKey(scope), ...ids)));
  };

  return {
    reserve,
    giveBack,
    async amend({ id }, usedAt, scopes) {
      const at = usedAt + (offset?.ms ?? 0);
      await Promise.all(scopes.map((scope) => redis.zadd(scopeKey(scope), 'XX', at.toFixed(3), id)));
    },
    async refused({ id }, scopes) {
      const { slots, windowMs } = allowances(scopes[0]);
      const keys = [key('state'), key('refusals'), scopeKey(scopes[0])];
      const { cluster, clusterMs, firstPauseMs, longestPauseMs, firstSmoothMs, longestSmoothMs, surprise } = CAUTION;
      const own = [id, slots, windowMs, shiftMs(), KEEP_MS];
      const rule = [cluster, clusterMs, firstPauseMs, longestPauseMs, firstSmoothMs, longestSmoothMs, surprise];
      await scripts.chatfilesRefused(keys.length, ...keys, ...own, ...rule);
    },
    async leave() {
      await Promise.all([redis.zrem(key('members'), replica), redis.hdel(key('clients'), replica)]);
    },
  };
}

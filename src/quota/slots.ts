/**
 * Slots to those who wait, in a fair order.
 *
 * 1. Whoever asks for a slot is told at once if it would wait too long; else it stands in the fair queue.
 * 2. A few slots are reserved ahead: as many as wait here, up to this replica's part of what all may hold.
 * 3. A due slot goes to whoever is next *then*: a client that left has cost nothing. What nobody needs is given back.
 * 4. A slot that was used late is amended; one that is far too late is dropped.
 * Where interfaces have allowances of their own, each has its line; where apps have, the line sees to it.
 */
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Ledger, Scopes } from './ledger.ts';
import type { FairQueueConfig } from './fair-queue.ts';
import { drainingError, type Here, Line } from './line.ts';
import type { Place } from './lane.ts';
import { type QuotaStats, sumUp, Tally, type WhyNot } from './tally.ts';
import type { SlotInUse, SlotRequest } from './waiter.ts';

/** Leave to make upstream attempts, each at its time. */
export type Slots = AsyncDisposable & {
  /**
   * Waits for a slot. Rejects with a GatewayError: QUEUE_FULL at once when the wait would be too long or the queue is
   * full, and when the wait has become too long after all (with `retryAfterMs`); CLIENT_GONE when the signal aborts;
   * DRAINING when disposed. One for which a spare slot will do is given one at once, or refused.
   */
  acquire(request: SlotRequest): Promise<SlotInUse>;
  /** The upstream has accepted these credentials: who waits with them counts as proven from now on. */
  prove(bearer: string): void;
  /** How many requests of one client wait for one app. */
  waitingOf(place: { client: string; app: string }): number;
  outlook: Outlook;
  /** Who would wait for longer than so many ms from now on is refused at once (DRAINING), also those who wait already. */
  endWithin(ms: number): void;
  /** Requests that wait now. */
  readonly waiting: number;
  /** Replicas that share the quota, as far as known; this one included. */
  readonly replicas: number;
  stats(): QuotaStats;
};

/** How one that came now would fare: how long it would wait, how many do, and with how many replicas slots are shared. */
export type Outlook = (place: Place & Pick<SlotRequest, 'kind'>) => {
  waitMs: number;
  waiting: number;
  replicas: number;
};

/** Bounds of the queue, its fairness, and the scopes that a request for an app and an interface counts for. */
export type SlotsOptions = FairQueueConfig & {
  maxQueued: number;
  maxQueuedPerClient: number;
  maxQueuedBytes: number;
  /** How many slots must be to be had at once for one of them to count as spare. */
  spareRoom: number;
  scopesOf: (request: Pick<SlotRequest, 'app' | 'kind'>) => Scopes;
};

/**
 * Slots may come so much more slowly than the mean: who would only just be served in time is told at once, and not in
 * vain. Among several replicas the share moves more than the pace does.
 */
const DOUBT = { alone: 1.03, amongOthers: 1.15 };
/** The queue is never full for a proven client only because made-up tokens fill it. */
const UNPROVEN_PART = 0.8;

/** Opens the queue in front of an account of slots. */
export function createSlots(options: SlotsOptions, ledger: Ledger, clock: Clock): Slots {
  const lines = new Map<string, Line>();
  const tally = new Tally();
  let waitingBytes = 0;
  let isClosed = false;
  let isReconsidering = false;
  let endsAt = Infinity;
  const here: Here = {
    get clients() {
      const queues = [...lines.values()].map(({ queue }) => queue);
      const proven = queues.reduce((sum, queue) => sum + queue.provenClients, 0);
      return { proven, unproven: queues.reduce((sum, queue) => sum + queue.clients, 0) - proven };
    },
    hasAccepted: false,
    counts: tally.slots,
  };

  // What is reserved already counted on earlier departures; once is enough for all that went late together.
  const onLate = () => {
    if (isReconsidering) return;
    isReconsidering = true;
    clock.after(0, () => {
      isReconsidering = false;
      for (const line of lines.values()) line.reconsider();
    });
  };

  const lineOf = ({ app, kind }: Pick<SlotRequest, 'app' | 'kind'>): Line => {
    const [egress] = options.scopesOf({ app, kind });
    const known = lines.get(egress);
    if (known) return known;
    const scopesOf = (each: string) => options.scopesOf({ app: each, kind });
    const line = new Line(scopesOf, { fairness: options, spareRoom: options.spareRoom, ledger, clock, here, onLate });
    lines.set(egress, line);
    return line;
  };
  const waiting = () => [...lines.values()].reduce((sum, line) => sum + line.queue.size, 0);

  const refuse = (why: WhyNot, error: GatewayError): GatewayError => {
    tally.refused[why] += 1;
    return error;
  };

  const refusalOf = (request: SlotRequest, line: Line): GatewayError | undefined => {
    const { client, maxWaitMs, bytes } = request;
    if (isClosed) return refuse('draining', drainingError());
    if (request.signal.aborted) return refuse('disconnected', new GatewayError('CLIENT_GONE'));
    if (request.isRetry) return undefined;
    const waitMs = line.expectedWaitMs(request);
    if (clock.monotonic() + waitMs > endsAt) return refuse('draining', drainingError());
    if (waitMs * (ledger.replicas > 1 ? DOUBT.amongOthers : DOUBT.alone) > maxWaitMs) {
      return refuse('deadline', line.refusal(client, waitMs - maxWaitMs, `it would wait for ${Math.ceil(waitMs)} ms`));
    }
    // One whose slot is free at once does not really wait.
    const maxQueued = request.isProven ? options.maxQueued : options.maxQueued * UNPROVEN_PART;
    if (waitMs > 0 && waiting() >= maxQueued) {
      return refuse('full', line.refusal(client, waitMs, `${waiting()} wait`));
    }
    if (line.queue.waitingOf(request) >= options.maxQueuedPerClient) {
      const reason = `${options.maxQueuedPerClient} of this client wait`;
      return refuse('client_cap', line.refusal(client, waitMs, reason));
    }
    const maxBytes = request.isProven ? options.maxQueuedBytes : options.maxQueuedBytes * UNPROVEN_PART;
    if (waitingBytes + bytes > maxBytes) {
      return refuse('bytes', line.refusal(client, waitMs, `${waitingBytes} bytes wait`));
    }
    return undefined;
  };

  const used = (request: SlotRequest, slot: SlotInUse): SlotInUse => {
    tally.grant(options.scopesOf(request)[0], clock.monotonic());
    return slot;
  };

  const acquire = async (request: SlotRequest): Promise<SlotInUse> => {
    const line = lineOf(request);
    if (request.isSpare) {
      const slot = isClosed ? undefined : await line.spare(request);
      if (slot) return used(request, slot);
      throw new GatewayError('QUEUE_FULL', { retryAfterMs: 1000, reason: 'no slot is spare' });
    }
    const refusal = refusalOf(request, line);
    if (refusal) throw refusal;
    waitingBytes += request.bytes;
    try {
      return used(request, await line.wait(request));
    } catch (thrown) {
      tally.turnedAway(GatewayError.from(thrown).code);
      throw thrown;
    } finally {
      waitingBytes -= request.bytes;
    }
  };

  return {
    acquire,
    waitingOf: (place) => [...lines.values()].reduce((sum, { queue }) => sum + queue.waitingOf(place), 0),
    prove(bearer) {
      for (const line of lines.values()) line.prove(bearer);
    },
    outlook: (place) => ({
      waitMs: lineOf(place).expectedWaitMs(place),
      waiting: waiting(),
      replicas: ledger.replicas,
    }),
    endWithin(ms) {
      endsAt = clock.monotonic() + ms;
      for (const line of lines.values()) line.endAt(endsAt);
    },
    get replicas() {
      return ledger.replicas;
    },
    get waiting() {
      return waiting();
    },
    stats() {
      const now = clock.monotonic();
      const all = lines.values().flatMap(({ queue }) => queue.order());
      return {
        slots: tally.slots,
        refused: tally.refused,
        waiting: sumUp(all, now),
        replicas: ledger.replicas,
        isAway: ledger.isAway === true,
        usedWithin: (windowMs) => tally.usedWithin(windowMs, now),
      };
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      for (const line of lines.values()) line.close();
      await ledger[Symbol.asyncDispose]();
    },
  };
}

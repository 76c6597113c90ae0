/**
 * Slots to those who wait, in a fair order.
 *
 * 1. Whoever asks for a slot is told at once if it would wait too long; else it stands in the fair queue.
 * 2. A few slots are reserved ahead: as many as wait here, up to this replica's part of what all may hold.
 * 3. A due slot goes to whoever is next *then*: a client that left has cost nothing. What nobody needs is given back.
 * 4. A slot that was used late is amended; one that is far too late is dropped.
 * Slots for different apps or interfaces are reserved apart only where these have allowances of their own.
 */
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Ledger, Scopes } from './ledger.ts';
import { type Here, Line, type LineOptions, queueFull, type SlotInUse, type SlotRequest } from './line.ts';

/** Leave to make upstream attempts, each at its time. */
export type Slots = AsyncDisposable & {
  /**
   * Waits for a slot. Rejects with a GatewayError: QUEUE_FULL at once when the wait would be too long or the queue is
   * full, and when the wait has become too long after all (with `retryAfterMs`); CLIENT_GONE when the signal aborts;
   * DRAINING when disposed.
   */
  acquire(request: SlotRequest): Promise<SlotInUse>;
  /** Requests that wait now. */
  readonly waiting: number;
  /** Replicas that share the quota, as far as known; this one included. */
  readonly replicas: number;
};

/** Bounds of the queue, its fairness, and the scopes that a request for an app and an interface counts for. */
export type SlotsOptions = LineOptions & {
  maxQueued: number;
  maxQueuedPerClient: number;
  maxQueuedBytes: number;
  scopesOf: (request: Pick<SlotRequest, 'app' | 'kind'>) => Scopes;
};

/** Opens the queue in front of an account of slots. */
export function createSlots(options: SlotsOptions, ledger: Ledger, clock: Clock): Slots {
  const lines = new Map<string, Line>();
  let waitingBytes = 0;
  let isClosed = false;
  let isReconsidering = false;
  // However many unproven clients wait at however many replicas, together they weigh as one client's fraction: their
  // part of the slots beside a single proven client is the share of their lane.
  const unprovenWeight = options.unprovenShare >= 1 ? 1 : options.unprovenShare / (1 - options.unprovenShare);
  const here: Here = {
    get weight() {
      return [...lines.values()].reduce((sum, line) => sum + this.weightOf(line.queue), 0);
    },
    weightOf({ provenClients, clients }) {
      if (clients === provenClients) return provenClients;
      const lanes = [...lines.values()].filter(({ queue }) => queue.clients > queue.provenClients).length;
      return provenClients + unprovenWeight / ledger.replicas / lanes;
    },
    hasAccepted: false,
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

  const lineOf = (request: SlotRequest): Line => {
    const scopes = options.scopesOf(request);
    const key = JSON.stringify(scopes);
    const known = lines.get(key);
    if (known) return known;
    const onIdle = () => {
      // Another may stand in its place by now.
      if (lines.get(key) === line) lines.delete(key);
    };
    const line = new Line({ scopes, fairness: options, ledger, clock, here, onIdle, onLate });
    lines.set(key, line);
    return line;
  };
  const waiting = () => [...lines.values()].reduce((sum, line) => sum + line.queue.size, 0);

  const refusalOf = (request: SlotRequest, line: Line): GatewayError | undefined => {
    if (isClosed) return new GatewayError('DRAINING', { retryAfterMs: 1000 });
    if (request.signal.aborted) return new GatewayError('CLIENT_GONE');
    if (request.isRetry) return undefined;
    const waitMs = line.expectedWaitMs(request);
    if (waitMs > request.maxWaitMs)
      return queueFull(waitMs - request.maxWaitMs, `it would wait for ${Math.ceil(waitMs)} ms`);
    // One whose slot is free at once does not really wait.
    if (waitMs > 0 && waiting() >= options.maxQueued) return queueFull(waitMs, `${options.maxQueued} wait`);
    if (line.queue.waitingOf(request) >= options.maxQueuedPerClient) {
      return queueFull(waitMs, `${options.maxQueuedPerClient} of this client wait`);
    }
    if (waitingBytes + request.bytes > options.maxQueuedBytes) return queueFull(waitMs, `${waitingBytes} bytes wait`);
    return undefined;
  };

  const acquire = async (request: SlotRequest): Promise<SlotInUse> => {
    const line = lineOf(request);
    const refusal = refusalOf(request, line);
    if (refusal) {
      // Clients name the apps, so a line that was opened only to be refused must not stay.
      line.rest();
      throw refusal;
    }
    waitingBytes += request.bytes;
    try {
      return await line.wait(request);
    } finally {
      waitingBytes -= request.bytes;
    }
  };

  return {
    acquire,
    get replicas() {
      return ledger.replicas;
    },
    get waiting() {
      return waiting();
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      for (const line of lines.values()) line.close();
      await ledger[Symbol.asyncDispose]();
    },
  };
}

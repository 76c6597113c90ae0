/**
 * All who wait for slots of one egress allowance, in one fair order, and the slots reserved for them.
 *
 * Where apps have allowances of their own, slots are reserved apart for each app. The order stays one: as many are asked
 * for each app as the next turns of the order ask for, and a due slot goes to whoever is next among those of its app.
 */
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { Comebacks } from './comebacks.ts';
import { createFairQueue, type FairQueue, type FairQueueConfig, type Place } from './fair-queue.ts';
import { AHEAD, type Clients, type Ledger, type Scopes, type Slot } from './ledger.ts';
import { SteadyPace } from './steady-pace.ts';
import type { SlotCounts } from './tally.ts';
import { EARLY_MS, type Track } from './track.ts';
import { Tracks } from './tracks.ts';
import { createWaiter, type SlotInUse, type SlotRequest, type Waiter } from './waiter.ts';

/** What all lines of this replica have in common: the clients that wait in all of them, news for the account, and counts. */
export type Here = { readonly clients: Clients; hasAccepted: boolean; readonly counts: SlotCounts };

/** What a line needs: `spareRoom` slots must be free for one to count as spare; `onLate` is called when an attempt went late. */
export type LineDeps = {
  fairness: FairQueueConfig;
  spareRoom: number;
  ledger: Ledger;
  clock: Clock;
  here: Here;
  onLate: () => void;
};

/** Up to here an attempt counts as gone in time, in ms; the margin covers it. Telling the account costs a command. */
const IN_TIME_MS = 20;
/** Waking up is meant for a little later than is needed, or fractions of a ms would let it be in vain. */
const WAKE_MS = EARLY_MS / 2;
/** A pace that is slower by this factor is reason to judge anew those who wait. */
const SLOWER = 1.05;

/** The refusal of one whose turn this replica will not live to see: another may have one for it sooner. */
export const drainingError = (): GatewayError =>
  new GatewayError('DRAINING', { retryAfterMs: 1000, reason: 'its turn would come after the end of the drain' });

/** The queue in front of one egress allowance. */
export class Line {
  readonly queue: FairQueue<Waiter>;
  readonly #tracks: Tracks;
  readonly #comebacks: Comebacks;
  readonly #deps: LineDeps;
  readonly #steadyPace: SteadyPace;
  #isClosed = false;
  /** The time between two slots of this replica with which those who wait were let in, in ms. */
  #judgedPaceMs = Infinity;
  #cancelTimer: () => void = () => {};

  constructor(scopesOf: (app: string) => Scopes, deps: LineDeps) {
    this.queue = createFairQueue(deps.fairness);
    const { ledger, clock, here } = deps;
    // Beside proven clients, all others together weigh little.
    const weight = () => here.clients.proven || here.clients.unproven;
    this.#tracks = new Tracks(scopesOf, { ledger, clock, weight, counts: here.counts });
    this.#comebacks = new Comebacks(clock);
    this.#steadyPace = new SteadyPace(clock);
    this.#deps = deps;
  }

  /** How long one that comes now will wait. */
  expectedWaitMs(place: Place): number {
    return this.#tracks.waitBehind(this.queue.ahead(place), this.queue.aheadInApp(place), place.app);
  }

  /** The refusal of a client that is to come back no sooner than in so many ms. */
  refusal(client: string, earliestMs: number, reason: string): GatewayError {
    return new GatewayError('QUEUE_FULL', {
      retryAfterMs: this.#comebacks.tell(client, earliestMs, { paceMs: this.#paceMs, clients: this.queue.clients }),
      reason,
    });
  }

  wait(request: SlotRequest): Promise<SlotInUse> {
    const giveUp = (waiter: Waiter, error: () => GatewayError) => {
      if (!this.queue.remove(waiter)) return;
      waiter.refuse(error());
      this.#serve();
    };
    const { waiter, slot } = createWaiter(request, this.#deps.clock, {
      onLeave: (left) => giveUp(left, () => new GatewayError('CLIENT_GONE', { reason: 'left the queue' })),
      onDeadline: (late) => giveUp(late, () => this.#tooLate(late, this.expectedWaitMs(late), 'waited in vain')),
    });
    this.#judgedPaceMs = Math.min(this.#judgedPaceMs, this.#paceMs);
    if (request.isRetry) this.queue.pushFirst(waiter);
    else this.queue.push(waiter);
    this.#serve();
    return slot;
  }

  /** A slot that would otherwise go unused: nobody waits, and much of what may be had is free; undefined if there is none. */
  async spare({ app }: SlotRequest): Promise<SlotInUse | undefined> {
    if (this.queue.size > 0) return undefined;
    const track = this.#tracks.of(app);
    if (!track.isIdle) return undefined;
    await track.ask({ count: 1, clients: this.#deps.here.clients, accepted: false });
    if (this.#isClosed) track.keep(0);
    const isFree = this.queue.size === 0 && track.outlook.room >= this.#deps.spareRoom;
    const slot = isFree ? track.takeDue() : undefined;
    this.#serve();
    return slot && this.#inUse(slot, track);
  }

  /** The upstream has accepted these credentials: who waits with them need not stand with the unproven any more. */
  prove(bearer: string): void {
    if (this.queue.prove(bearer)) this.#serve();
  }

  /** Gives back what is reserved and asks anew: the account has learnt that something went later than it had counted. */
  reconsider(): void {
    for (const [, track] of this.#tracks) track.keep(0);
    this.#serve();
  }

  /** Whoever has no turn until then is refused now. */
  endAt(time: number): void {
    const left = time - this.#deps.clock.monotonic();
    for (const [waiter] of this.#late((_waiter, waitMs) => waitMs > left)) {
      this.queue.remove(waiter);
      waiter.refuse(drainingError());
    }
    this.#serve();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    for (let waiter = this.queue.shift(); waiter; waiter = this.queue.shift()) {
      waiter.refuse(drainingError());
    }
    for (const [, track] of this.#tracks) track.keep(0);
  }

  #serve(): void {
    if (this.#isClosed) return;
    this.#cancelTimer();
    for (const [app, track] of this.#tracks) {
      this.#useDueSlots(app, track);
      track.keep(this.queue.sizeOf(app));
    }
    // One time for both: what is not asked for yet at this time is what there must be a timer for.
    const now = this.#deps.clock.monotonic();
    this.#reserveMore(now);
    for (const [app, track] of this.#tracks) {
      if (track.isIdle && this.queue.sizeOf(app) === 0) this.#tracks.forget(app);
    }
    this.#wakeLater(now);
  }

  #wakeLater(now: number): void {
    let next = Infinity;
    for (const [, { reserved, askAgainAt }] of this.#tracks) {
      if (reserved[0]) next = Math.min(next, reserved[0].at - WAKE_MS);
      else if (askAgainAt > now) next = Math.min(next, askAgainAt + WAKE_MS);
    }
    // Whoever has neither waits until another's slot is used, or an answer comes.
    if (next === Infinity) return;
    const waitMs = Math.max(0, next - this.#deps.clock.monotonic());
    this.#cancelTimer = this.#deps.clock.after(waitMs, () => this.#serve());
  }

  #useDueSlots(app: string | undefined, track: Track): void {
    while (this.queue.sizeOf(app) > 0) {
      const slot = track.takeDue();
      if (!slot) return;
      this.queue.shift(app)?.grant(this.#inUse(slot, track));
    }
  }

  #inUse(slot: Slot, track: Track): SlotInUse {
    const { ledger, here } = this.#deps;
    return {
      departed: () => this.#departed(slot, track.scopes),
      refused: () => ledger.refused(slot, track.scopes),
      accepted: () => {
        here.hasAccepted = true;
        if (track.askAtOnce()) this.#serve();
      },
    };
  }

  /** A busy process, or a new connection, may let an attempt go well after its slot: the account is told when it really went. */
  #departed(slot: Slot, scopes: Scopes): void {
    const { ledger, clock, onLate } = this.#deps;
    const now = clock.monotonic();
    if (now - slot.at <= IN_TIME_MS || this.#isClosed) return;
    ledger.amend(slot, now, scopes);
    onLate();
  }

  /** Asks for what the next turns need, up to this replica's part of what all may hold. */
  #reserveMore(now: number): void {
    if (this.queue.size === 0) return;
    const target = Math.max(1, Math.round(AHEAD * this.#tracks.outlook.share));
    // Half of what may be held at a time: one command then brings several slots.
    if (this.#tracks.held(now) > target / 2) return;
    const turns = Math.min(this.queue.size, target);
    for (const [track, wanted] of this.#tracks.wanted(this.queue.order(), turns, now)) {
      const missing = wanted - track.reserved.length;
      if (missing > 0 && !track.isAsking && now >= track.askAgainAt) void this.#ask(track, missing);
    }
  }

  async #ask(track: Track, count: number): Promise<void> {
    const { here } = this.#deps;
    const accepted = here.hasAccepted;
    here.hasAccepted = false;
    await track.ask({ count, clients: here.clients, accepted });
    if (this.#isClosed) {
      track.keep(0);
      return;
    }
    this.#judgeAnew();
    this.#serve();
  }

  /**
   * Many may have come at many replicas at once, and been let in before any of these knew of the others. As soon as that
   * shows, those whose time will not suffice are told so: they need not wait for it in vain.
   */
  #judgeAnew(): void {
    if (this.#tracks.outlook.isPassing === true) return;
    const paceMs = this.#steadyPace.of(this.#paceMs);
    if (paceMs <= this.#judgedPaceMs * SLOWER) return;
    this.#judgedPaceMs = paceMs;
    const now = this.#deps.clock.monotonic();
    const late = this.#late((waiter, waitMs) => !waiter.isRetry && waitMs > waiter.until - now);
    for (const [waiter, waitMs] of late) {
      this.queue.remove(waiter);
      waiter.refuse(this.#tooLate(waiter, waitMs, 'others came at the same time'));
    }
  }

  /** Who waits in vain, and how long each would: those behind one that is taken out wait the less. */
  #late(isLate: (waiter: Waiter, waitMs: number) => boolean): [Waiter, number][] {
    const inApp = new Map<string, number>();
    const late: [Waiter, number][] = [];
    let ahead = 0;
    for (const waiter of this.queue.order()) {
      const before = inApp.get(waiter.app) ?? 0;
      const waitMs = this.#tracks.waitBehind(ahead, before, waiter.app);
      if (isLate(waiter, waitMs)) late.push([waiter, waitMs]);
      else {
        ahead += 1;
        inApp.set(waiter.app, before + 1);
      }
    }
    return late;
  }

  #tooLate({ client, maxWaitMs }: SlotRequest, waitMs: number, why: string): GatewayError {
    return this.refusal(client, waitMs - maxWaitMs, `${why}: it would wait for ${Math.ceil(waitMs)} ms more`);
  }

  /** The mean time between two slots of this replica, in ms. */
  get #paceMs(): number {
    const { paceMs, share } = this.#tracks.outlook;
    return paceMs / share;
  }
}

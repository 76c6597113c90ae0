/**
 * What replicas tell each other of tokens, through Redis; only digests go there, under a key that Redis never sees.
 *
 * 1. A question and its news are one call of lua/merge.lua, which also tells what all know. A call that fails, or takes
 *    too long, counts as Redis being away: from then on nothing is asked, so that no other request waits. A beat in the
 *    background finds Redis again.
 * 2. A refusal goes to the others as a message as well, once it is stored. Each replica hears its own beats over the same
 *    subscription: when they are not heard, it is deaf, and subscribes anew.
 * 3. `heardSince` is since when nothing can have been missed. What was known before may have been taken back unheard:
 *    grants.ts asks again before it believes it. It begins anew with each subscription, and when Redis has lost its
 *    memory or its clock was set: Redis notices that itself, or whichever replica first finds it at odds with its own.
 * 4. This replica's own refusals are told until Redis has them, and again after Redis has lost its memory.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { connectRedis, type RedisConnection, watchRedis, whyAway } from '../redis/connection.ts';
import type { RedisWatch } from '../redis/config.ts';
import { createSubscriber, type Subscriber } from '../redis/subscriber.ts';
import { createTheirClock, type TheirClock } from '../redis/their-clock.ts';
import {
  type Call,
  createFactsScript,
  type FactsScript,
  type FactsScriptOptions,
  factsName,
  type Reply,
} from './facts-script.ts';
import type { News, SharedFacts, Told } from './facts.ts';
import { NEVER } from './may-see.ts';
import { type OwnRefusal, OwnRefusals } from './own-refusals.ts';
import type { TokenRefusal } from './token-book.ts';

/** Which Redis, who hears of another replica's refusals, and who is told that Redis is away, and back. */
export type SharedFactsOptions = FactsScriptOptions & {
  url: string;
  onRefusal: (key: string, refusal: TokenRefusal, refusedAt: number) => void;
  onAway?: (reason: string) => void;
  onBack?: () => void;
  watch?: RedisWatch | undefined;
};

/** How many calls may be under way; one more is not made. */
const MAX_UNDER_WAY = 256;
/** Between two beats, in ms: while all is well, and while Redis is away. */
const BEAT_MS = 1000;
const PROBE_MS = 250;
/** Who has not heard so many of its own beats is deaf. */
const DEAF_BEATS = 3;
/** How many own refusals are told at once. */
const AT_ONCE = 32;

const REFUSALS: ReadonlySet<string> = new Set<TokenRefusal>(['token-refused', 'service-forbidden']);
const isRefusal = (text: string): text is TokenRefusal => REFUSALS.has(text);

/** Opens the common memory; it connects in the background. */
export function createSharedFacts(options: SharedFactsOptions, clock: Clock): SharedFacts {
  return new RedisFacts(options, clock);
}

class RedisFacts implements SharedFacts {
  readonly #options: SharedFactsOptions;
  readonly #clock: Clock;
  readonly #replica = randomUUID();
  readonly #redis: RedisConnection;
  readonly #script: FactsScript;
  readonly #subscriber: Subscriber;
  readonly #theirs: TheirClock;
  readonly #refusals: OwnRefusals;
  #epoch = '';
  #endsEpoch = false;
  #isAway = true;
  #wasThere = false;
  #isListening = false;
  #heardSince = NEVER;
  /** How many beats were sent since this replica last heard one. */
  #unheard = 0;
  #underWay = 0;
  #isTelling = false;
  #isClosed = false;
  #cancelBeat = () => {};

  constructor(options: SharedFactsOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#theirs = createTheirClock(() => clock.monotonic());
    this.#refusals = new OwnRefusals(options.keepMs);
    this.#redis = connectRedis(options.url, (reason) => this.#goAway(reason));
    watchRedis(this.#redis, 'access', options.watch);
    this.#script = createFactsScript(this.#redis, options);
    this.#redis.on('ready', () => this.#beatAfter(0));
    const channels = [this.#name('refusals'), this.#name(`beat:${this.#replica}`)];
    const events = {
      onMessage: (channel: string, message: string) => this.#hear(channel, message),
      onUp: () => this.#startListening(),
      onDown: () => void (this.#isListening = false),
    };
    this.#subscriber = createSubscriber(options.url, channels, events, clock);
  }

  get isConnected(): boolean {
    return !this.#isAway && this.#isListening;
  }

  get heardSince(): number {
    return this.#heardSince;
  }

  async merge(key: string, news: News): Promise<Told | undefined> {
    if (this.#isAway || this.#underWay >= MAX_UNDER_WAY) return undefined;
    const { acceptedAt = NEVER, provenAt = NEVER, endsInMs, claimForMs } = news;
    return this.#call({
      key,
      accepted: this.#earliest(acceptedAt),
      proven: this.#earliest(provenAt),
      endsInMs,
      sight: claimForMs === undefined ? undefined : { how: 'claim', forMs: claimForMs },
    });
  }

  refuse(key: string, own: OwnRefusal): void {
    this.#refusals.add(key, own);
    void this.#tellRefusal(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#cancelBeat();
    this.#subscriber[Symbol.dispose]();
    this.#redis.disconnect();
  }

  #name(text: string): string {
    return factsName(this.#options.keyPrefix, text);
  }

  #earliest(at: number): number | undefined {
    return at === NEVER ? undefined : this.#theirs.boundsAt(at)?.earliest;
  }

  async #tellRefusal(key: string): Promise<void> {
    const own = this.#isAway ? undefined : this.#refusals.of(key, this.#clock.monotonic());
    const bounds = own && this.#theirs.boundsAt(own.refusedAt);
    if (!own || !bounds) return;
    const { refusal, spendForMs } = own;
    const text = [this.#replica, key, refusal, this.#epoch, bounds.latest.toFixed(3)].join(' ');
    const told = await this.#call({
      key,
      refused: { at: bounds.latest, about: refusal },
      sight: spendForMs === undefined ? undefined : { how: 'spend', forMs: spendForMs },
      message: { channel: this.#name('refusals'), text },
    });
    if (told) own.epoch = this.#epoch;
  }

  async #call(call: Omit<Call, 'epoch' | 'endsEpoch'>): Promise<Told | undefined> {
    const sentAt = this.#clock.monotonic();
    this.#underWay += 1;
    try {
      return this.#read(await this.#script({ ...call, epoch: this.#epoch, endsEpoch: this.#endsEpoch }), sentAt);
    } catch (error) {
      this.#goAway(error);
      return undefined;
    } finally {
      this.#underWay -= 1;
    }
  }

  #read({ now, epoch, accepted, proven, refused, about, firstSeen }: Reply, sentAt: number): Told {
    const isSteady = this.#theirs.learn(sentAt, this.#clock.monotonic(), now);
    if (epoch !== this.#epoch) {
      // What this replica had told is forgotten there.
      this.#heardSince = this.#clock.monotonic();
      this.#epoch = epoch;
      this.#endsEpoch = false;
    } else if (!isSteady) {
      this.#endsEpoch = true;
    }
    // Until the next call has ended this run of it, nobody can tell when anything in it was.
    if (this.#endsEpoch) throw new Error("Redis's clock was set");
    const here = (time: number) => (time > 0 ? (this.#theirs.boundsHere(time)?.earliest ?? NEVER) : NEVER);
    return {
      acceptedAt: here(accepted),
      provenAt: here(proven),
      refusal: refused > 0 && accepted === 0 && isRefusal(about) ? about : undefined,
      firstSeenAt: here(firstSeen),
      askedAt: sentAt,
    };
  }

  #hear(channel: string, message: string): void {
    if (channel !== this.#name('refusals')) {
      this.#unheard = 0;
      return;
    }
    const [replica, key = '', refusal = '', epoch, refused] = message.split(' ');
    if (replica === this.#replica || !isRefusal(refusal)) return;
    // Of another run of Redis's clock, it is only known that it was before now.
    const now = this.#clock.monotonic();
    const latest = epoch === this.#epoch ? this.#theirs.boundsHere(Number(refused))?.latest : undefined;
    this.#options.onRefusal(key, refusal, Math.min(now, latest ?? now));
  }

  #startListening(): void {
    this.#isListening = true;
    this.#unheard = 0;
    this.#heardSince = this.#clock.monotonic();
    this.#beatAfter(0);
  }

  #goAway(reason: unknown): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
    this.#options.onAway?.(whyAway(this.#redis, reason));
    this.#beatAfter(PROBE_MS);
  }

  #beatAfter(delayMs: number): void {
    this.#cancelBeat();
    if (this.#isClosed) return;
    this.#cancelBeat = this.#clock.after(delayMs, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    if (this.#unheard >= DEAF_BEATS) {
      this.#unheard = 0;
      this.#subscriber.reconnect();
    }
    const key = `beat:${this.#replica}`;
    const isThere = (await this.#call({ key, message: { channel: this.#name(key), text: 'beat' } })) !== undefined;
    if (this.#isClosed) return;
    if (isThere) {
      if (this.#isAway && this.#wasThere) this.#options.onBack?.();
      this.#isAway = false;
      this.#wasThere = true;
      this.#unheard += 1;
      void this.#tellAgain();
    }
    this.#beatAfter(isThere ? BEAT_MS : PROBE_MS);
  }

  /** Tells what Redis does not have, the latest first, a few at a time. */
  async #tellAgain(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const untold = this.#refusals.untold(this.#epoch);
    for (let i = 0; i < untold.length && !this.#isAway; i += AT_ONCE) {
      await Promise.all(untold.slice(i, i + AT_ONCE).map((key) => this.#tellRefusal(key)));
    }
    this.#isTelling = false;
  }
}

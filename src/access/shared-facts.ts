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
 *    memory or its clock was set.
 * 4. This replica's own refusals are told until Redis has them, and again after Redis has lost its memory.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { connectRedis, type RedisConnection } from '../redis/connection.ts';
import { createSubscriber, type Subscriber } from '../redis/subscriber.ts';
import { createTheirClock, type TheirClock } from '../redis/their-clock.ts';
import { NEVER } from './may-see.ts';
import type { TokenRefusal } from './token-book.ts';

/** What a replica has learnt; times as in may-see.ts. `endsInMs`: until the token's own end. */
export type News = {
  acceptedAt?: number;
  provenAt?: number;
  endsInMs?: number;
  /** To be told the first sight of what a token proves to be, which is remembered for so long. */
  claimForMs?: number;
};

/** What all replicas know. */
export type Told = {
  acceptedAt: number;
  provenAt: number;
  /** What the token was refused for, if it was refused after all that was accepted. */
  refusal: TokenRefusal | undefined;
  firstSeenAt: number;
  /** When it was asked. */
  askedAt: number;
};

/** A refusal by the upstream; `spendForMs`: what the token proves to be has no first sight left, for so long. */
export type OwnRefusal = { refusal: TokenRefusal; refusedAt: number; spendForMs?: number | undefined };

/** What replicas tell each other. */
export type SharedFacts = AsyncDisposable & {
  /** Tells and asks, in one; undefined while Redis is away. Never rejects, and never takes much longer than a command may. */
  merge(key: string, news: News): Promise<Told | undefined>;
  /** Tells all replicas that a token was refused; kept and told later while Redis is away. */
  refuse(key: string, own: OwnRefusal): void;
  /** Whether Redis answers, and messages are heard. */
  readonly isConnected: boolean;
  /** Since when no message can have been missed. */
  readonly heardSince: number;
};

/** Which Redis, how long facts are kept there, and who hears of another replica's refusals. */
export type SharedFactsOptions = {
  url: string;
  keyPrefix: string;
  keepMs: number;
  onRefusal: (key: string, refusal: TokenRefusal, refusedAt: number) => void;
  /** Added to Redis's clock, for tests that cannot wait. */
  shiftMs?: () => number;
};

/** The layout of the keys and messages; a version that changes it shares nothing with this one. */
const LAYOUT = 'v1';
/** How many calls may be under way; one more is not made. */
const MAX_UNDER_WAY = 256;
/** Between two beats, in ms: while all is well, and while Redis is away. */
const BEAT_MS = 1000;
const PROBE_MS = 250;
/** Who has not heard so many of its own beats is deaf. */
const DEAF_BEATS = 3;
/** How many own refusals are kept to be told again, and how many are told at once. */
const MAX_REFUSALS = 10_000;
const AT_ONCE = 32;

const MERGE = readFileSync(new URL('./lua/merge.lua', import.meta.url), 'utf8');
type Scripts = { chatfilesMerge(keys: number, ...args: (string | number)[]): Promise<string[]> };
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
  readonly #subscriber: Subscriber;
  readonly #theirs: TheirClock;
  /** By key; `epoch` is the run of Redis's memory that has it. */
  readonly #refusals: LRUCache<string, OwnRefusal & { epoch: string }>;
  #epoch = '';
  #isAway = true;
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
    this.#refusals = new LRUCache({ max: MAX_REFUSALS });
    this.#redis = connectRedis(options.url, () => this.#goAway());
    this.#redis.defineCommand('chatfilesMerge', { lua: MERGE });
    this.#redis.on('ready', () => this.#beatAfter(0));
    const channels = [this.#key('refusals'), this.#key(`beat:${this.#replica}`)];
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
    const { acceptedAt, provenAt, endsInMs, claimForMs } = news;
    return this.#call(key, {
      accepted: this.#earliest(acceptedAt),
      proven: this.#earliest(provenAt),
      endsInMs,
      sight: claimForMs === undefined ? '' : 'claim',
      sightMs: claimForMs,
    });
  }

  refuse(key: string, own: OwnRefusal): void {
    this.#refusals.set(key, { ...own, epoch: '' });
    void this.#tellRefusal(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#cancelBeat();
    this.#subscriber[Symbol.dispose]();
    this.#redis.disconnect();
  }

  /** One hash tag for all keys: a Cluster keeps them together, or no script could use them at once. */
  #key(name: string): string {
    return `${this.#options.keyPrefix}${LAYOUT}:{access}:${name}`;
  }

  #earliest(at: number | undefined): string {
    const bounds = at === undefined || at === NEVER ? undefined : this.#theirs.boundsAt(at);
    return bounds === undefined ? '0' : bounds.earliest.toFixed(3);
  }

  async #tellRefusal(key: string): Promise<void> {
    const own = this.#refusals.get(key);
    if (!own || this.#isAway) return;
    const isOver = this.#clock.monotonic() - own.refusedAt > this.#options.keepMs;
    if (isOver) this.#refusals.delete(key);
    const bounds = this.#theirs.boundsAt(own.refusedAt);
    if (isOver || bounds === undefined) return;
    const refused = bounds.latest.toFixed(3);
    const told = await this.#call(key, {
      refused,
      about: own.refusal,
      sight: own.spendForMs === undefined ? '' : 'spend',
      sightMs: own.spendForMs,
      channel: this.#key('refusals'),
      message: [this.#replica, key, own.refusal, this.#epoch, refused].join(' '),
    });
    if (told) own.epoch = this.#epoch;
  }

  async #call(key: string, news: Call): Promise<Told | undefined> {
    const { accepted = '0', proven = '0', refused = '0', about = '', endsInMs, sight = '', sightMs } = news;
    const { keepMs, shiftMs = () => 0 } = this.#options;
    const sentAt = this.#clock.monotonic();
    const keys = [this.#key('clock'), this.#key(`token:${key}`), this.#key(`sight:${key}`)];
    const ends = Math.min(endsInMs ?? keepMs, keepMs);
    const facts = [this.#epoch, accepted, proven, refused, about, keepMs, Math.max(0, Math.floor(ends))];
    const first = [sight, Math.max(1, Math.floor(sightMs ?? 1))];
    const args = [...facts, ...first, news.channel ?? '', news.message ?? '', shiftMs()];
    this.#underWay += 1;
    try {
      const scripts = this.#redis as unknown as Scripts;
      return this.#read(await scripts.chatfilesMerge(keys.length, ...keys, ...args), sentAt);
    } catch {
      this.#goAway();
      return undefined;
    } finally {
      this.#underWay -= 1;
    }
  }

  #read(reply: readonly string[], sentAt: number): Told {
    const [now, epoch = '', accepted, proven, refused, about = '', first] = reply;
    const isSteady = this.#theirs.learn(sentAt, this.#clock.monotonic(), Number(now));
    if (!isSteady || epoch !== this.#epoch) {
      // What this replica had told is forgotten there, or stands at another time than it was told.
      this.#heardSince = this.#clock.monotonic();
      this.#epoch = epoch;
    }
    const here = (time: string | undefined) =>
      Number(time) > 0 ? (this.#theirs.boundsHere(Number(time))?.earliest ?? NEVER) : NEVER;
    return {
      acceptedAt: here(accepted),
      provenAt: here(proven),
      refusal: Number(refused) > 0 && Number(accepted) === 0 && isRefusal(about) ? about : undefined,
      firstSeenAt: here(first),
      askedAt: sentAt,
    };
  }

  #hear(channel: string, message: string): void {
    if (channel !== this.#key('refusals')) {
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

  #goAway(): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
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
    const channel = this.#key(`beat:${this.#replica}`);
    const isThere = (await this.#call(`beat:${this.#replica}`, { channel, message: 'beat' })) !== undefined;
    if (this.#isClosed) return;
    if (isThere) {
      this.#isAway = false;
      this.#unheard += 1;
      void this.#tellAgain();
    }
    this.#beatAfter(isThere ? BEAT_MS : PROBE_MS);
  }

  /** Tells what Redis does not have, the latest first, a few at a time. */
  async #tellAgain(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const untold = [...this.#refusals.entries()].filter(([, { epoch }]) => epoch !== this.#epoch);
    for (let i = 0; i < untold.length && !this.#isAway; i += AT_ONCE) {
      await Promise.all(untold.slice(i, i + AT_ONCE).map(([key]) => this.#tellRefusal(key)));
    }
    this.#isTelling = false;
  }
}

/** One call of the script; what is left out is not told. */
type Call = {
  accepted?: string;
  proven?: string;
  refused?: string;
  about?: string;
  endsInMs?: number | undefined;
  sight?: '' | 'claim' | 'spend';
  sightMs?: number | undefined;
  channel?: string;
  message?: string;
};

import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { it } from 'vitest';
import { createDisk, type Disk } from '../../src/cache/disk.ts';
import { type CacheKey, covers, type Entry, type Selector, textOf } from '../../src/cache/entry.ts';
import { createFakeClock } from '../kit/fake-clock.ts';
import { failure, judgedFiles, openLock, type Verdict } from './kit.ts';

const LIFETIME_MS = 100_000;
/** Far longer than any pause after a failure, and far shorter than a lifetime. */
const PAUSE_MS = 61_000;
const LIMITS = { maxBytes: 6144, segmentBytes: 1024, minFreeBytes: 0, lifetimeMs: LIFETIME_MS };

const APPS = ['o/a', 'o/b'];
const FILES = ['f', 'g', 'h'];
const VARIANTS = ['1', '2'];
const KEYS = APPS.flatMap((app) => FILES.flatMap((file) => VARIANTS.map((variant) => ({ app, file, variant }))));

/**
 * What a key may read as: a miss is always right, a value only if it is in `now`. What is not known to be on the disk
 * may be lost with the process, and then one of `before` may be read again: each is there until a number of steps.
 */
class Model {
  readonly #now = new Map<string, Entry[]>();
  readonly #before = new Map<string, { entry: Entry; until: number }[]>();
  #steps = 0;

  change(selector: Selector, entry?: Entry): number {
    this.#steps += 1;
    for (const key of KEYS.filter((key) => covers(selector, key))) {
      const text = textOf(key);
      const replaced = (this.#now.get(text) ?? []).map((old) => ({ entry: old, until: this.#steps }));
      this.#before.set(text, [...(this.#before.get(text) ?? []), ...replaced]);
      this.#now.set(text, entry ? [entry] : []);
    }
    return this.#steps;
  }

  /** What a change has replaced does not come back: for the keys it reached, or for all. */
  confirm(step = this.#steps, selector: Selector = {}): void {
    for (const key of KEYS.filter((key) => covers(selector, key))) {
      const text = textOf(key);
      this.#before.set(
        text,
        (this.#before.get(text) ?? []).filter(({ until }) => until > step),
      );
    }
  }

  crash(): void {
    for (const [text, before] of this.#before) {
      this.#now.set(text, [...(this.#now.get(text) ?? []), ...before.map(({ entry }) => entry)]);
    }
    this.#before.clear();
  }

  expected(key: CacheKey, now: number): Entry[] {
    return (this.#now.get(textOf(key)) ?? []).filter(({ storedAt }) => now - storedAt < LIFETIME_MS);
  }
}

/** When the file system fails next, how, and for how many steps; `dies` means that the process does, too. */
type Trouble = { after: number; code: string; times: number; dies: boolean; part: number };

/** One process after another over one folder, beside a model of what they may say. */
class World {
  readonly clock = createFakeClock();
  readonly #model = new Model();
  readonly #dir: string;
  #disk: Disk | undefined;
  #trouble: Trouble | undefined;
  #isDead = false;
  #stored = 0;
  #judged = judgedFiles(() => this.#judge());

  constructor(dir: string) {
    this.#dir = dir;
  }

  start(): void {
    this.#isDead = false;
    this.#disk = createDisk(
      { ...LIMITS, dir: this.#dir },
      { clock: this.clock, notice: () => {}, files: this.#judged.files, takeLock: openLock },
    );
  }

  put(key: CacheKey, bytes: number, ageMs: number): void {
    this.#stored += 1;
    const entry = {
      storedAt: this.clock.now() - ageMs,
      fields: { n: String(this.#stored) },
      body: Buffer.alloc(bytes, `<${this.#stored}>`),
    };
    this.#disk?.put(key, entry);
    this.#model.change(key, entry);
  }

  async erase(selector: Selector, isAwaited: boolean): Promise<void> {
    const step = this.#model.change(selector);
    const hear = async () => {
      const isKept = await this.#disk?.erase(selector);
      if (isKept && !this.#isDead) this.#model.confirm(step, selector);
    };
    const heard = hear();
    if (isAwaited) await heard;
  }

  async read(key: CacheKey): Promise<void> {
    const entry = await this.#disk?.get(key);
    if (entry && !this.#model.expected(key, this.clock.now()).some((each) => isDeepStrictEqual(each, entry))) {
      throw new Error(`${textOf(key)} reads as number ${entry.fields['n']}`);
    }
    if (this.#isDead) await this.restart(false);
  }

  /** All trouble is over, for longer than any pause: now everything is written. */
  async settle(): Promise<void> {
    this.#trouble = undefined;
    await this.#disk?.idle();
    if (this.#isDead) return this.restart(false);
    await this.clock.advance(PAUSE_MS);
    await this.#disk?.idle();
    this.#model.confirm();
  }

  /** The process ends: in order, after all was written, or at once, with nothing written any more. */
  async restart(isOrderly: boolean): Promise<void> {
    const wasDead = this.#isDead;
    if (isOrderly && !wasDead) await this.settle();
    if (!isOrderly) this.#isDead = true;
    await this.#disk?.[Symbol.asyncDispose]();
    await this.#judged.abandon();
    if (!isOrderly || wasDead) this.#model.crash();
    this.#trouble = undefined;
    this.start();
  }

  expect(trouble: Trouble): void {
    this.#trouble = { ...trouble };
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Reads everything that there is, once it was found again. */
  async readAll(): Promise<void> {
    await this.#disk?.idle();
    if (this.#isDead) await this.restart(false);
    await this.#disk?.idle();
    for (const key of KEYS) await this.read(key);
  }

  async end(): Promise<void> {
    await this.#disk?.[Symbol.asyncDispose]();
    await this.#judged.abandon();
  }

  #judge(): Verdict {
    if (this.#isDead) return { error: failure('EBADF') };
    const trouble = this.#trouble;
    if (!trouble) return undefined;
    trouble.after -= 1;
    if (trouble.after > 0) return undefined;
    trouble.times -= 1;
    if (trouble.times <= 0) this.#trouble = undefined;
    if (trouble.dies) this.#isDead = true;
    return { error: failure(trouble.code), afterBytes: trouble.part };
  }
}

type Move = (world: World) => void | Promise<void>;

const key = fc.constantFrom(...KEYS);
const selector: fc.Arbitrary<Selector> = fc.oneof(
  { arbitrary: key, weight: 4 },
  { arbitrary: key.map(({ app, file }): Selector => ({ app, file })), weight: 2 },
  fc.constantFrom(...APPS).map((app): Selector => ({ app })),
  fc.constant<Selector>({}),
);
const trouble = (dies: boolean): fc.Arbitrary<Trouble> =>
  fc.record({
    after: fc.integer({ min: 1, max: 12 }),
    code: fc.constantFrom('ENOSPC', 'EIO', 'EMFILE', 'EROFS', 'EACCES'),
    times: dies ? fc.constant(1) : fc.integer({ min: 1, max: 6 }),
    dies: fc.constant(dies),
    part: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.constant(1_000_000)),
  });

/** Lets so many turns of the event loop pass, so that the disk is met in the middle of whatever it does. */
async function pass(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await nextTurn();
}

const named = (name: string, move: Move): Move => Object.assign(move, { [fc.toStringMethod]: () => name });
const show = (value: unknown) => JSON.stringify(value);
const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc
      .tuple(key, fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 0, 0, LIFETIME_MS - 500))
      .map(([key, bytes, age]) => named(`put ${textOf(key)} ${bytes} ${age}`, (world) => world.put(key, bytes, age))),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(selector, fc.boolean())
      .map(([selector, wait]) => named(`erase ${textOf(selector)} ${wait}`, (world) => world.erase(selector, wait))),
  },
  { weight: 5, arbitrary: key.map((key) => named(`read ${textOf(key)}`, (world) => world.read(key))) },
  { weight: 3, arbitrary: fc.constant(named('settle', (world) => world.settle())) },
  { weight: 3, arbitrary: fc.constant(named('read all', (world) => world.readAll())) },
  {
    weight: 5,
    arbitrary: fc.integer({ min: 1, max: 80 }).map((turns) => named(`turns ${turns}`, () => pass(turns))),
  },
  { weight: 1, arbitrary: fc.constant(named('wait', (world) => world.clock.advance(1000))) },
  { weight: 1, arbitrary: fc.constant(named('restart', (world) => world.restart(true))) },
  { weight: 1, arbitrary: fc.constant(named('die', (world) => world.restart(false))) },
  {
    weight: 3,
    arbitrary: trouble(true).map((how) => named(`die ${show(how)}`, (world) => world.expect(how))),
  },
  {
    weight: 2,
    arbitrary: trouble(false).map((how) => named(`fail ${show(how)}`, (world) => world.expect(how))),
  },
);

it('reads as what was put last or as a miss, whatever fails and whenever the process dies', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cache-model-'));
  let runs = 0;
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 10, maxLength: 60 }), async (moves) => {
        runs += 1;
        const world = new World(join(dir, String(runs)));
        world.start();
        try {
          for (const move of moves) {
            await move(world);
            if (world.isDead) await world.restart(false);
          }
          await world.readAll();
          await world.restart(true);
          await world.readAll();
        } finally {
          await world.end();
          await rm(join(dir, String(runs)), { recursive: true, force: true });
        }
      }),
      { numRuns: Number(process.env['CACHE_MODEL_RUNS'] ?? 300) },
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}, 600_000);

import type { LimiterOptions } from '../../src/emulator/limiter.ts';
import type { TestRedis } from '../../test/kit/redis.ts';
import type { ClientPlan, Habits } from './load.ts';
import type { Upstream } from './processes.ts';
import type { Figures } from './run.ts';
import type { Fleet, Way } from './ways.ts';

/** What stands ready in a scenario, for something to happen to it. */
export type Stage = {
  redis: TestRedis;
  upstream: Upstream;
  killReplica: (index: number) => Promise<void>;
  fleet: Fleet;
};

/** Something that happens in the middle of a run. What it does at its end, if anything, ends it. */
export type Event = {
  atMs: number;
  forMs: number;
  begin: (stage: Stage) => Promise<void>;
  end?: (stage: Stage) => Promise<void>;
};

/** What the gateway is to reach. */
export type Goal = { text: string; isMet(figures: Figures): boolean };

/** One situation, and the ways that are put into it. */
export type Scenario = {
  name: string;
  about: string;
  /** Which figures say something here. */
  kind: 'steady' | 'event' | 'light';
  replicas: number;
  seconds: number;
  jitterMs: number;
  /** The gateway's quota.marginMs: what an operator would set for such a network. */
  marginMs: number;
  algorithm: LimiterOptions['algorithm'];
  clients: ClientPlan[];
  habits: Habits;
  event: Event | undefined;
  ways: Way[];
  goals: Goal[];
  /** Whether a quick run has it. */
  isQuick: boolean;
};

const ALL: Way[] = ['gateway', 'rate-limiter-flexible', 'bottleneck', 'nginx', 'naive retry'];
const WITH_REDIS: Way[] = ['gateway', 'rate-limiter-flexible', 'bottleneck'];

/** Two clients at each of three replicas, far more than the upstream allows. */
const SATURATED = clients(3, 2, { atOnce: 50, perSecond: 13 });

const BASE: Omit<Scenario, 'name' | 'about'> = {
  kind: 'steady',
  replicas: 3,
  seconds: 12,
  jitterMs: 15,
  marginMs: 18,
  algorithm: 'sliding-log',
  clients: SATURATED,
  habits: {},
  event: undefined,
  ways: ['gateway'],
  goals: [],
  isQuick: false,
};

const ALGORITHMS = ['sliding-log', 'fixed-window', 'token-bucket', 'small-burst'] as const;

const atLeast = (perSecond: number): Goal => ({
  text: `at least ${perSecond} a second`,
  isMet: ({ rate }) => rate >= perSecond,
});
const noneRefusedLater: Goal = { text: 'none refused after 2 s', isMet: ({ refusedLater }) => refusedLater === 0 };
const commands = (most: number): Goal => ({
  text: `at most ${most} commands a request`,
  isMet: (figures) => figures.commands <= most,
});
const noneFailed: Goal = { text: 'no client sees a failure', isMet: ({ failed }) => failed === 0 };
const fewRefused: Goal = { text: 'at most 3 refused', isMet: ({ refused }) => refused <= 3 };

/** Thirty a second less a margin of 35 ms: what is reached even where an operator does not know the network. */
const FLOOR = 28.95;

const saturated: Scenario[] = ALGORITHMS.map((algorithm) => ({
  ...BASE,
  name: `saturated-${algorithm}`,
  about: `300 requests at once and 78 a second, against a ${algorithm} limiter; jitter 15 ms.`,
  algorithm,
  ways: algorithm === 'sliding-log' || algorithm === 'token-bucket' ? ALL : ['gateway'],
  goals: algorithm === 'small-burst' ? [noneFailed] : [atLeast(FLOOR), noneRefusedLater, commands(0.6), noneFailed],
  isQuick: algorithm === 'sliding-log',
}));

const many: Scenario[] = ALGORITHMS.map((algorithm) => ({
  ...BASE,
  name: `sixteen-${algorithm}`,
  about: `16 replicas with a client each, 304 requests at once and 64 a second, against a ${algorithm} limiter; jitter 15 ms.`,
  replicas: 16,
  clients: clients(16, 1, { atOnce: 19, perSecond: 4 }),
  algorithm,
  goals: algorithm === 'small-burst' ? [noneFailed] : [atLeast(FLOOR), noneRefusedLater, commands(1.2), noneFailed],
}));

const jitters: Scenario[] = [
  {
    ...BASE,
    name: 'jitter-5',
    about: 'Saturated, against a sliding log; jitter 5 ms.',
    jitterMs: 5,
    goals: [atLeast(FLOOR), noneRefusedLater],
  },
  {
    ...BASE,
    name: 'jitter-30',
    about: 'Saturated, against a sliding log; jitter 30 ms, for which the margin is 32 ms.',
    jitterMs: 30,
    marginMs: 32,
    goals: [atLeast(28.8), noneRefusedLater],
  },
];

const crowds: Scenario[] = [
  {
    ...BASE,
    name: 'skewed',
    about: 'Four clients at one replica, one at each of the others; each 50 requests at once and 13 a second.',
    clients: [0, 0, 0, 0, 1, 2].map((replica) => ({ replica, atOnce: 50, perSecond: 13 })),
    goals: [{ text: 'Jain over clients at least 0.99', isMet: ({ jainClients }) => jainClients >= 0.99 }],
  },
  {
    ...BASE,
    name: 'half-leaving',
    about: 'Saturated; every second request is given up after 0.2 to 6 s.',
    habits: { halfLeave: true },
    ways: ALL,
    goals: [atLeast(FLOOR), noneFailed],
    isQuick: true,
  },
];

const redisLost: Scenario[] = [
  {
    ...BASE,
    kind: 'event',
    name: 'redis-hangs',
    about: 'Saturated; from 4 s on, Redis hangs for 3 s (SIGSTOP).',
    seconds: 14,
    event: {
      atMs: 4000,
      forMs: 3000,
      begin: async ({ redis }) => redis.signal('SIGSTOP'),
      end: async ({ redis }) => redis.signal('SIGCONT'),
    },
    goals: [fewRefused, noneFailed],
  },
  {
    ...BASE,
    kind: 'event',
    name: 'redis-killed',
    about: 'Saturated; at 4 s Redis is killed, 3 s later it comes back empty.',
    seconds: 14,
    event: { atMs: 4000, forMs: 3000, begin: ({ redis }) => redis.stop(), end: ({ redis }) => redis.restart() },
    ways: WITH_REDIS,
    goals: [fewRefused, noneFailed],
    isQuick: true,
  },
  {
    ...BASE,
    kind: 'event',
    name: 'redis-flushed',
    about: 'Saturated; at 4 s Redis forgets everything (FLUSHALL), as after a failover to an empty replica.',
    event: { atMs: 4000, forMs: 3000, begin: ({ redis }) => flush(redis.port) },
    goals: [fewRefused, noneFailed],
  },
];

const others: Scenario[] = [
  {
    ...BASE,
    kind: 'event',
    name: 'replica-killed',
    about: 'Saturated; at 4 s one of three replicas is killed, and its clients go to the others.',
    event: { atMs: 4000, forMs: 3000, begin: ({ killReplica }) => killReplica(2) },
    ways: ALL,
    goals: [{ text: 'at most 10 slots lost', isMet: ({ lostSlots }) => lostSlots <= 10 }, noneFailed],
  },
  {
    ...BASE,
    kind: 'event',
    name: 'upstream-away',
    about: '18 requests a second; from 4 s on, the upstream refuses everything for 4 s.',
    seconds: 15,
    clients: clients(3, 2, { atOnce: 0, perSecond: 3 }),
    event: { atMs: 4000, forMs: 4000, begin: ({ upstream }) => upstream.set({ awayMs: 4000 }) },
    ways: ['gateway', 'naive retry'],
    goals: [
      // What has waited meanwhile is served as soon as it can be: the rate is that of a saturated run.
      { text: 'at least 25 a second afterwards', isMet: ({ after }) => after >= 25 },
      noneFailed,
    ],
  },
  {
    ...BASE,
    kind: 'light',
    name: 'light',
    about: '15 requests a second at random times. The upstream itself takes 15 to 70 ms.',
    clients: clients(3, 2, { atOnce: 0, perSecond: 2.5 }),
    habits: { atRandom: true },
    ways: ALL,
    goals: [noneFailed],
  },
];

/** All scenarios, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [...saturated, ...jitters, ...many, ...crowds, ...redisLost, ...others];

function clients(replicas: number, each: number, plan: Omit<ClientPlan, 'replica'>): ClientPlan[] {
  return Array.from({ length: replicas * each }, (_, index) => ({ replica: index % replicas, ...plan }));
}

async function flush(port: number): Promise<void> {
  const { Redis } = await import('ioredis');
  const redis = new Redis({ port });
  await redis.flushall();
  redis.disconnect();
}

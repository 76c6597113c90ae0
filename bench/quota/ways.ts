import { startNginx } from './nginx.ts';
import { type Listening, startGateway, startOwn } from './processes.ts';

/** Replicas that share one egress address, and how they share its allowance. */
export type Fleet = AsyncDisposable & { replicas: Listening[] };

/** What a fleet stands between. */
export type FleetPlan = { replicas: number; upstreamUrl: string; redisUrl: string; marginMs: number };

/** The ways that are compared, by name. */
export const WAYS = {
  gateway: async ({ replicas, upstreamUrl, redisUrl, marginMs }: FleetPlan) => {
    const keys = [
      `upstream.url=${upstreamUrl}`,
      `redis.url=${redisUrl}`,
      `quota.marginMs=${marginMs}`,
      ...WITHOUT_BOUNDS,
    ];
    return fleetOf(await startAll(replicas, () => startGateway(keys)));
  },
  'rate-limiter-flexible': (plan: FleetPlan) => startRivals('rate-limiter-flexible', plan),
  bottleneck: (plan: FleetPlan) => startRivals('bottleneck', plan),
  nginx: async (plan: FleetPlan) => {
    const nginx = await startNginx(plan.upstreamUrl);
    const fleet = await startRivals('none', { ...plan, upstreamUrl: nginx.url });
    return fleetOf(fleet.replicas, nginx);
  },
  'naive retry': (plan: FleetPlan) => startRivals('none', plan),
} satisfies Record<string, (plan: FleetPlan) => Promise<Fleet>>;

/** A way's name. */
export type Way = keyof typeof WAYS;

/** In a saturated run everybody waits for long; what is measured is the slots, not who is refused at the door. */
const WITHOUT_BOUNDS = [
  'quota.maxWaitMs=600000',
  'quota.maxQueued=100000',
  'quota.maxQueuedPerClient=100000',
  'retry.budgetMs=600000',
  'clientLimit.requests=1000000',
];

const startRivals = async (limiter: string, { replicas, upstreamUrl, redisUrl }: FleetPlan): Promise<Fleet> =>
  fleetOf(await startAll(replicas, () => startOwn('rival', limiter, upstreamUrl, redisUrl)));

const startAll = (count: number, start: () => Promise<Listening>): Promise<Listening[]> =>
  Promise.all(Array.from({ length: count }, start));

const fleetOf = (replicas: Listening[], ...others: Listening[]): Fleet => ({
  replicas,
  async [Symbol.asyncDispose]() {
    await Promise.all([...replicas, ...others].map(({ kill }) => kill()));
  },
});

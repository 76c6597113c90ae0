/** One run: one way in one scenario, with a Redis, an upstream and replicas of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../../test/kit/redis.ts';
import { type Arrival, nowMs } from './arrival.ts';
import { countCommands } from './commands.ts';
import { countBy, jain, mostPerSecond, quantile, slope } from './figures.ts';
import { ask, type Asked, createClient } from './load.ts';
import { startUpstream } from './processes.ts';
import type { Scenario, Stage } from './scenarios.ts';
import { type Way, WAYS } from './ways.ts';

/** What a run has shown; rates are accepted requests a second. */
export type Figures = {
  rate: number;
  refused: number;
  /** Of these, after the first two seconds. */
  refusedLater: number;
  /** The most arrivals in any second. */
  most: number;
  /** Over what clients, and replicas by the client, have had accepted after the first two seconds. */
  jainClients: number;
  jainReplicas: number;
  /** Commands to Redis a request, without those for the limit of each client. */
  commands: number;
  /** Answers other than 200, without those that a killed replica took with it. */
  failed: number;
  broken: number;
  answered: number;
  medianMs: number;
  slowMs: number;
  longestMs: number;
  /** Rates before, during and after an event; and arrivals during it. */
  before: number;
  during: number;
  after: number;
  arrivedDuring: number;
  /** From the end of the event to the next accepted arrival. */
  resumedMs: number;
  lostSlots: number;
};

/** Arrivals at the upstream, in ms from the beginning of the load. */
export type Run = { scenario: Scenario; way: Way; figures: Figures; arrivals: Arrival[] };

/** Slopes are taken from here on: what comes at once in the beginning is not what can be kept up. */
const STEADY_FROM_MS = 2000;
/** Longer than any window: what warmed up the replicas must not count. */
const WINDOW_MS = 1100;

/** Plays a scenario; a quick one takes half the time. */
export async function run(scenario: Scenario, way: Way, seconds: number): Promise<Run> {
  await using redis = await startRedis();
  const { algorithm, jitterMs, marginMs, event } = scenario;
  await using upstream = await startUpstream({ limiter: { algorithm }, jitterMs });
  const plan = { replicas: scenario.replicas, marginMs, upstreamUrl: upstream.url, redisUrl: redis.url };
  await using fleet = await WAYS[way](plan);
  const killed = new Map<number, number>();
  const stage: Stage = {
    redis,
    upstream,
    fleet,
    async killReplica(index) {
      killed.set(index, nowMs());
      await fleet.replicas[index]?.kill();
    },
  };
  await warmUp(stage);
  using commands = await countCommands(redis.port);
  await upstream.takeArrivals();

  const startedAt = nowMs();
  const happening = event ? happen(event, stage) : Promise.resolve();
  const all = await ask(scenario.clients, seconds, scenario.habits, (wanted) => {
    const alive = fleet.replicas.map((_, index) => index).filter((index) => !killed.has(index));
    const replica = killed.has(wanted) ? (alive[0] ?? 0) : wanted;
    return { url: fleet.replicas[replica]?.url ?? '', replica };
  });
  await happening;
  const sent = commands.quota;
  const arrivals = (await upstream.takeArrivals())
    .map((arrival) => ({ ...arrival, at: arrival.at - startedAt }))
    .filter(({ at }) => at <= seconds * 1000);
  return { scenario, way, arrivals, figures: figuresOf(scenario, seconds, arrivals, all, killed, sent) };
}

/** Every replica sends one request: connections stand, code is compiled, and the token is known to be good. */
async function warmUp({ fleet }: Stage): Promise<void> {
  const client = createClient(250);
  const asked = fleet.replicas.map(({ url }, replica) => client.ask(url, replica));
  while (asked.some(({ status }) => status === undefined)) await sleep(20);
  const wrong = asked.find(({ status }) => status !== 200);
  if (wrong) throw new Error(`replica ${wrong.replica} answers with ${wrong.status}`);
  client.close();
  await sleep(WINDOW_MS);
}

async function happen({ atMs, forMs, begin, end }: NonNullable<Scenario['event']>, stage: Stage): Promise<void> {
  await sleep(atMs);
  await begin(stage);
  if (!end) return;
  await sleep(forMs);
  await end(stage);
}

function figuresOf(
  { clients, replicas, event }: Scenario,
  seconds: number,
  arrivals: Arrival[],
  all: Asked[],
  killed: Map<number, number>,
  commandsSent: number,
): Figures {
  const accepted = arrivals.filter((arrival) => arrival.accepted).map(({ at }) => at);
  const refused = arrivals.filter((arrival) => !arrival.accepted);
  const served = all.filter(({ status }) => status === 200);
  const waits = served.map(({ sentAt, endedAt }) => endedAt - sentAt);
  const isBroken = ({ replica, status, sentAt }: Asked) => status === 0 && sentAt <= (killed.get(replica) ?? 0);
  const wrong = all.filter(({ status, hasLeft }) => status !== undefined && status !== 200 && !hasLeft);
  const steady = arrivals.filter(({ at, accepted: isAccepted }) => isAccepted && at >= STEADY_FROM_MS);
  const perClient = countBy(steady, clients.length, ({ client }) => client);
  const perReplica = countBy(steady, replicas, ({ client }) => clients[client]?.replica ?? 0);
  const clientsAt = countBy(clients, replicas, ({ replica }) => replica);
  const between = (from: number, to: number) =>
    accepted.filter((at) => at >= from && at < to).length / ((to - from) / 1000);
  const [eventAt, eventEnd] = event ? [event.atMs, event.atMs + event.forMs] : [0, 0];
  const [before, during] = event
    ? [between(STEADY_FROM_MS, eventAt), between(eventAt, eventEnd)]
    : [Number.NaN, Number.NaN];
  return {
    rate: slope(steady.map(({ at }) => at)),
    refused: refused.length,
    refusedLater: refused.filter(({ at }) => at >= STEADY_FROM_MS).length,
    most: mostPerSecond(arrivals.map(({ at }) => at)),
    jainClients: jain(perClient),
    jainReplicas: jain(perReplica.map((count, replica) => count / (clientsAt[replica] ?? 1))),
    commands: commandsSent / arrivals.length,
    failed: wrong.length - wrong.filter(isBroken).length,
    broken: wrong.filter(isBroken).length,
    answered: served.length,
    medianMs: quantile(waits, 0.5),
    slowMs: quantile(waits, 0.99),
    longestMs: Math.max(...waits),
    before,
    during,
    after: event ? between(eventEnd, seconds * 1000) : Number.NaN,
    arrivedDuring: arrivals.filter(({ at }) => at >= eventAt && at < eventEnd).length,
    resumedMs: (accepted.find((at) => at >= eventEnd) ?? Number.NaN) - eventEnd,
    lostSlots: Math.max(0, Math.round((before - during) * ((eventEnd - eventAt) / 1000))),
  };
}

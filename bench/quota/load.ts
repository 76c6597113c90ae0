import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { nowMs, pathOf } from './arrival.ts';

/** What one client asks for: so much at once, and then so much a second. It has an address of its own. */
export type ClientPlan = { replica: number; atOnce: number; perSecond: number };

/** How clients behave beyond that: half of their requests are given up after a while, or come at random times. */
export type Habits = { halfLeave?: boolean; atRandom?: boolean };

/** One request. The status is that of its answer, 0 when the connection broke, undefined when there was no end of it. */
export type Asked = {
  client: number;
  replica: number;
  sentAt: number;
  endedAt: number;
  status: number | undefined;
  hasLeft: boolean;
};

/** How long clients wait that give up, in ms. */
const PATIENCE_MS = { least: 200, most: 6000 };
const TICK_MS = 5;
const HEADERS = { authorization: 'Bearer YWMtbench' };

/** A client with an address and connections of its own. */
export function createClient(client: number): {
  ask: (url: string, replica: number, patienceMs?: number) => Asked;
  close: () => void;
} {
  const localAddress = `127.0.${1 + Math.floor(client / 200)}.${1 + (client % 200)}`;
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, localAddress });
  let requests = 0;
  return {
    ask(url, replica, patienceMs) {
      requests += 1;
      const asked: Asked = { client, replica, sentAt: nowMs(), endedAt: 0, status: undefined, hasLeft: false };
      const end = (status: number) => {
        clearTimeout(timer);
        if (asked.status !== undefined || asked.hasLeft) return;
        asked.status = status;
        asked.endedAt = nowMs();
      };
      const outgoing = get(url + pathOf(client, requests), { agent, headers: HEADERS }, (answer) => {
        answer.resume().once('end', () => end(answer.statusCode ?? 0));
        answer.once('error', () => end(0));
      });
      outgoing.once('error', () => end(0));
      const leave = () => {
        asked.hasLeft = true;
        outgoing.destroy();
      };
      const timer = patienceMs === undefined ? undefined : setTimeout(leave, patienceMs);
      return asked;
    },
    close: () => agent.destroy(),
  };
}

/** Lets all clients ask for so long; what then has no answer yet is broken off. `urlOf` tells where a replica's clients go. */
export async function ask(
  plans: readonly ClientPlan[],
  seconds: number,
  { halfLeave = false, atRandom = false }: Habits,
  urlOf: (replica: number) => { url: string; replica: number },
): Promise<Asked[]> {
  const all: Asked[] = [];
  const clients = plans.map((plan, index) => ({
    plan,
    ...createClient(index),
    // One after the other: together they would come in bursts.
    due: (1000 / plan.perSecond) * (index / plans.length),
  }));
  const startedAt = nowMs();
  const askOnce = ({ plan, ask: askFrom }: (typeof clients)[number]) => {
    const { url, replica } = urlOf(plan.replica);
    const leaves = halfLeave && Math.random() < 0.5;
    const patienceMs = PATIENCE_MS.least + Math.random() * (PATIENCE_MS.most - PATIENCE_MS.least);
    all.push(askFrom(url, replica, leaves ? patienceMs : undefined));
  };
  for (const client of clients) for (let i = 0; i < client.plan.atOnce; i += 1) askOnce(client);
  while (nowMs() < startedAt + seconds * 1000) {
    for (const client of clients) {
      while (nowMs() >= startedAt + client.due) {
        askOnce(client);
        client.due += (1000 / client.plan.perSecond) * (atRandom ? -Math.log(1 - Math.random()) : 1);
      }
    }
    await sleep(TICK_MS);
  }
  // What has ended until now is the result; what ends from here on does so because it is broken off.
  const result = all.map((asked) => ({ ...asked }));
  for (const client of clients) client.close();
  return result;
}

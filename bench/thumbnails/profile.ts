import { once } from 'node:events';
import { freePort, startRedis } from '../../test/kit/redis.ts';
import { HOT, hotKeys, warm } from './hits.ts';
import { startLoader } from './loader.ts';
import { CORES, startGateway, startOwn } from './processes.ts';

/** One cost: where in the code, and µs for each request. */
export type Cost = { name: string; us: number };

/** The costs of a request: of functions and files by themselves, and of functions with all that they call. */
export type Costs = { functions: Cost[]; files: Cost[]; whole: Cost[] };

type Profile = {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number }; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
};

const WARM_UP_SECONDS = 4;
const SAMPLE_US = 400;
/** What V8 counts that is no work. */
const IDLE = ['(idle)', '(program)', '(root)'];

/** Finds out where the time of a hit in memory goes, while nothing else happens. Looking makes it slower. */
export async function playProfile(seconds: number): Promise<Costs> {
  await using redis = await startRedis();
  await using upstream = await startOwn('upstream', [], { core: CORES.others });
  const inspector = `127.0.0.1:${await freePort()}`;
  const keys = hotKeys(upstream.url, redis.url);
  await using gateway = await startGateway(keys, { core: CORES.server, flags: [`--inspect=${inspector}`] });
  await warm(gateway);
  await using loader = startLoader();
  const play = (length: number) =>
    loader.play({ url: gateway.url, pids: [gateway.pid], status: 200, ...HOT, seconds: length });
  await play(WARM_UP_SECONDS);
  const command = await connectInspector(inspector);
  await command('Profiler.enable');
  await command('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  await command('Profiler.start');
  const { perSecond } = await play(seconds);
  const { profile } = (await command('Profiler.stop')) as { profile: Profile };
  return costsOf(profile, perSecond * seconds);
}

/** Connects to a process's inspector, and gives a way to command it. */
async function connectInspector(address: string): Promise<(method: string, params?: object) => Promise<unknown>> {
  const [target] = (await (await fetch(`http://${address}/json/list`)).json()) as { webSocketDebuggerUrl: string }[];
  const socket = new WebSocket(target?.webSocketDebuggerUrl ?? '');
  await once(socket, 'open');
  const waiting = new Map<number, (result: unknown) => void>();
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: unknown };
    waiting.get(id)?.(result);
  });
  let id = 0;
  return (method, params = {}) => {
    id += 1;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params }));
    return promise;
  };
}

function costsOf({ nodes, samples, timeDeltas }: Profile, requests: number): Costs {
  const own = new Map<number, number>();
  for (const [index, id] of samples.entries()) add(own, id, timeDeltas[index] ?? 0);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const [functions, files, whole] = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()];
  /** `callers` has each name once, however often it calls itself. */
  const visit = (id: number, callers: ReadonlySet<string>) => {
    const node = byId.get(id);
    if (!node) return;
    const { functionName, url, lineNumber } = node.callFrame;
    const place = placeOf(url);
    const name = place === '' ? functionName : `${functionName || 'anonymous'} ${place}:${lineNumber + 1}`;
    const here = new Set(callers).add(name);
    if (!IDLE.includes(functionName)) {
      const us = own.get(id) ?? 0;
      add(functions, name, us);
      add(files, place === '' ? functionName : place, us);
      for (const each of here) add(whole, each, us);
    }
    for (const child of node.children ?? []) visit(child, here);
  };
  visit(nodes[0]?.id ?? 0, new Set());
  const sorted = (sums: Map<string, number>) =>
    [...sums].map(([name, us]) => ({ name, us: us / requests })).toSorted((a, b) => b.us - a.us);
  return { functions: sorted(functions), files: sorted(files), whole: sorted(whole) };
}

const add = <Key>(sums: Map<Key, number>, key: Key, us: number) => sums.set(key, (sums.get(key) ?? 0) + us);

/** A file's place: in the gateway, in a package, or in Node itself. */
const placeOf = (url: string): string =>
  url
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/(src|bench)\//, '$1/')
    .replace(/^file:\/\//, '');

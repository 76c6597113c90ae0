import { type Cached, type Shared, thumbnailFields, until } from './cached.ts';
import type { Reply } from './ask.ts';
import { askWire } from './wire.ts';

/** Several people whom every replica believes. */
export const believedCrowd = (cached: Cached, count: number): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => cached.believed(`member-${index}`)));

/** The requests for files that a bearer has caused. */
export const asksOf = ({ gate }: Cached, token: string): number =>
  gate.arrived.filter(({ method, authorization }) => method === 'GET' && authorization === `Bearer ${token}`).length;

/** Somebody who asks for a thumbnail, and may leave. */
export type Visitor = { reply: Promise<Reply>; leave: () => void };

/** Sends somebody on the way. */
export function visitor(cached: Cached, { path, secret }: Shared, token: string): Visitor {
  const leaving = new AbortController();
  const reply = askWire(cached.url(), { path, fields: thumbnailFields(token, secret) }, leaving.signal);
  return { reply, leave: () => leaving.abort() };
}

/** Sends several on the way, and waits until each has looked for the file, which is not kept, and waits for it. */
export async function arriving(cached: Cached, file: Shared, tokens: string[]): Promise<Visitor[]> {
  const misses = async () => (await cached.stats()).cache.memory.misses;
  const before = await misses();
  const visitors = tokens.map((token) => visitor(cached, file, token));
  await until(async () => (await misses()) >= before + tokens.length);
  await settled(cached);
  return visitors;
}

/** The same of one alone. */
export async function arrived(cached: Cached, file: Shared, token: string): Promise<Visitor> {
  const [visitor] = await arriving(cached, file, [token]);
  if (!visitor) throw new Error('nobody has come');
  return visitor;
}

/** Lets what the gateway is at come to its next wait: some other requests go all the way there and back. */
export async function settled(cached: Cached): Promise<void> {
  for (let round = 0; round < 5; round += 1) await askWire(cached.adminUrl(), { path: '/readyz', fields: [] });
}

import { askWire } from './wire.ts';
import { type Cached, type Shared, thumbnailFields } from './cached.ts';

/** Several people whom every replica believes. */
export const believedCrowd = (cached: Cached, count: number): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => cached.believed(`member-${index}`)));

/** The requests for files that a bearer has caused. */
export const asksOf = ({ gate }: Cached, token: string): number =>
  gate.arrived.filter(({ method, authorization }) => method === 'GET' && authorization === `Bearer ${token}`).length;

/** Lets what was sent before arrive: some other requests go all the way there and back. */
export async function letArrive(cached: Cached): Promise<void> {
  for (let round = 0; round < 5; round += 1) await askWire(cached.adminUrl(), { path: '/readyz', fields: [] });
}

/** Somebody who asks for a thumbnail, and may leave. */
export function visitor(cached: Cached, { path, secret }: Shared, token: string) {
  const leaving = new AbortController();
  const reply = askWire(cached.url(), { path, fields: thumbnailFields(token, secret) }, leaving.signal);
  return { reply, leave: () => leaving.abort() };
}

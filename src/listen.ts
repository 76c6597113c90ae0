/** Servers on their ports: how they begin to listen, and how they end. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Clock } from './clock.ts';

/** An address that cannot be listened on; the message says which key to change. */
export class ListenError extends Error {}

/** Listens, and tells the origin; `key` is the section of the configuration that the address is from. */
export async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  key: string,
): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    const text = `cannot listen on ${host}:${port} (${code}): choose another ${key}.host or ${key}.port`;
    throw new ListenError(text, { cause });
  }
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${server instanceof TlsServer ? 'https' : 'http'}://${name}:${address.port}`;
}

/** How often idle connections are looked for while a server closes, in ms. */
const SWEEP_MS = 50;

/** Takes no more connections, and waits for requests under way at most `withinMs`; then connections are cut. */
export async function closeServer(server: Server, withinMs: number, clock: Clock): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  const sweep = (): (() => void) =>
    clock.after(SWEEP_MS, () => {
      server.closeIdleConnections();
      cancelSweep = sweep();
    });
  let cancelSweep = sweep();
  const cancelDeadline = clock.after(withinMs, () => server.closeAllConnections());
  await closed;
  cancelSweep();
  cancelDeadline();
}

import { once } from 'node:events';
import { connect } from 'node:net';

/** Commands that clients have sent to a Redis: for the quota, and for the limit of each client. */
export type CommandCount = Disposable & { quota: number; clientLimit: number };

/**
 * Counts what clients send, from now on. MONITOR tells it apart from what scripts call, which the counters of INFO
 * do not.
 */
export async function countCommands(port: number): Promise<CommandCount> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  socket.write('MONITOR\r\n');
  const count = { quota: 0, clientLimit: 0 };
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\r\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!/^\+[\d.]+ \[\d+ (?!lua)/.test(line)) continue;
      if (line.includes('"chatfiles:client:')) count.clientLimit += 1;
      else count.quota += 1;
    }
  });
  return Object.assign(count, { [Symbol.dispose]: () => void socket.destroy() });
}

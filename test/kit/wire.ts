import { Agent, request } from 'node:http';
import type { Reply } from './ask.ts';

/** One request as it goes on the wire: fields may be repeated, and the target is sent as it is. */
export type Wire = { method?: string; path: string; fields: readonly (readonly [string, string])[] };

const agent = new Agent({ keepAlive: true, timeout: 1000 });

/** Asks once; never rejects. The status is 0 when there was no answer. */
export function askWire(url: string, { method = 'GET', path, fields }: Wire, signal?: AbortSignal): Promise<Reply> {
  return new Promise((resolve) => {
    const { hostname, port, host } = new URL(url);
    const headers = ['Host', host, ...fields.flat()];
    const outgoing = request({ hostname, port, method, path, headers, agent, ...(signal ? { signal } : {}) });
    const none = { status: 0, headers: {}, rawHeaders: [], body: Buffer.alloc(0), isWhole: false };
    outgoing.on('error', () => resolve(none));
    outgoing.on('response', (answer) => {
      const chunks: Buffer[] = [];
      const { statusCode: status = 0, headers: answered, rawHeaders } = answer;
      const end = (isWhole: boolean) =>
        resolve({ status, headers: answered, rawHeaders, body: Buffer.concat(chunks), isWhole });
      answer.on('data', (chunk: Buffer) => void chunks.push(chunk));
      answer.on('end', () => end(answer.complete));
      answer.on('error', () => end(false));
    });
    outgoing.end();
  });
}

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as a scripted upstream got it. */
export type Asked = { method: string; path: string; headers: IncomingHttpHeaders; body: Buffer };

/** What it is to answer; an object becomes JSON. `reset`: cuts the connection instead. */
export type Scripted = {
  status?: number;
  headers?: Record<string, string | string[]>;
  body?: Buffer | string | object;
  reset?: boolean;
};

/** An upstream that answers as a test wants it to, for the parts of the API that the emulator does not have. */
export type ScriptedUpstream = AsyncDisposable & { url: string; asked: Asked[] };

/** Starts one; `answer` is called for each request, with its number from 1 on. */
export async function startScriptedUpstream(
  answer: (asked: Asked, count: number) => Scripted | Promise<Scripted>,
): Promise<ScriptedUpstream> {
  const asked: Asked[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('error', () => {});
    req.on('data', (chunk: Buffer) => void chunks.push(chunk));
    req.on('end', () => {
      const { method = '', url = '', headers } = req;
      const one = { method, path: url, headers, body: Buffer.concat(chunks) };
      asked.push(one);
      void play(answer(one, asked.length), res);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function play(answer: Scripted | Promise<Scripted>, res: ServerResponse): Promise<void> {
  const { status = 200, headers = {}, body = '', reset = false } = await answer;
  if (reset) {
    res.req.socket.resetAndDestroy();
    return;
  }
  const isText = typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = isText ? body : JSON.stringify(body);
  const type = isText ? {} : { 'content-type': 'application/json' };
  res.writeHead(status, { ...type, 'content-length': Buffer.byteLength(bytes), ...headers });
  res.end(bytes);
}

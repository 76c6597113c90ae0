import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as a collector gets it, with its attributes as an object. */
export type CollectedSpan = {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  traceState: string | undefined;
  name: string;
  kind: number;
  status: number;
  attributes: Record<string, unknown>;
};

/** A collector of traces: takes spans by OTLP over HTTP in JSON, as its specification has it. */
export type Collector = AsyncDisposable & {
  url: string;
  spans: CollectedSpan[];
  /** What the sender says of itself. */
  resource: Record<string, unknown>;
  /** Everything that came, as text. */
  readonly text: string;
  requests: { path: string; headers: Record<string, unknown> }[];
  /** The status that the next ones get. */
  status: number;
};

type Pair = { key: string; value: Record<string, unknown> };
type Sent = {
  resourceSpans: {
    resource: { attributes: Pair[] };
    scopeSpans: {
      spans: (Omit<CollectedSpan, 'attributes' | 'status'> & { attributes: Pair[]; status: { code: number } })[];
    }[];
  }[];
};

const plain = (pairs: Pair[]): Record<string, unknown> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, Object.values(value)[0]]));

/** Starts a collector on a free port. */
export async function startCollector(): Promise<Collector> {
  let text = '';
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => void chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      collector.requests.push({ path: `${req.method} ${req.url}`, headers: req.headers });
      res.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}');
      if (collector.status !== 200) return;
      text += body;
      for (const { resource, scopeSpans } of (JSON.parse(body) as Sent).resourceSpans) {
        Object.assign(collector.resource, plain(resource.attributes));
        for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
          collector.spans.push({ ...span, attributes: plain(span.attributes), status: span.status.code });
        }
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    resource: {},
    requests: [],
    status: 200,
    get text() {
      return text;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return collector;
}

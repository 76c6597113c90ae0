import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask } from '../kit/ask.ts';
import { type CollectedSpan, startCollector } from '../kit/collector.ts';
import { APP, bearer, CHATFILES, ORG, uploadTo } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startStorage, STORAGE } from '../kit/storage.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const SAMPLED = { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'vendor=opaque' };

/** A gateway before an upstream that refuses nobody, a file, and the traces that arrived there. */
async function start(set: string[] = []) {
  const running = await startGateway({ set, emulator: { limiter: { algorithm: 'off' } } });
  const { emulator, gateway } = running;
  const token = emulator.issueToken(ORG, APP);
  const { uuid, secret = '' } = await uploadTo(emulator.url, token, 'bytes', { 'restrict-access': 'true' });
  emulator.clearReceived();
  const url = `${gateway.url}${CHATFILES}/${uuid}`;
  const get = (headers: Record<string, string | string[]> = {}, query = '') =>
    ask(`${url}${query}`, { headers: { ...bearer(token), 'share-secret': secret, ...headers } });
  /** The fields of the trace, of each request that arrived. */
  const arrived = () =>
    emulator.received().map(({ headers }) => {
      const fields = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
      const [, traceId, spanId, flags] = /^00-(\w{32})-(\w{16})-(\w\w)$/.exec(fields['traceparent'] ?? '') ?? [];
      return { traceId, spanId, flags, state: fields['tracestate'] };
    });
  return { ...running, token, uuid, secret, get, arrived };
}

const hasName = (name: string) => (span: CollectedSpan) => span.name === name;

describe("a client's trace", () => {
  it('goes on to the upstream, by a new span for each attempt, and stands in the log', async () => {
    const { emulator, get, arrived, summaries } = await start();
    emulator.fault({ kind: 'unavailable', times: 2 });
    expect((await get(SAMPLED)).status).toBe(200);
    const attempts = arrived();
    const known = { traceId: TRACE, spanId: expect.any(String) as string, flags: '01', state: 'vendor=opaque' };
    expect(attempts).toEqual([known, known, known]);
    expect(new Set([SPAN, ...attempts.map(({ spanId }) => spanId)]).size).toBe(4);
    expect(summaries.at(-1)).toMatchObject({ traceId: TRACE, attempts: 3 });
  });

  it('goes on unsampled where it came unsampled', async () => {
    const { get, arrived } = await start();
    await get({ traceparent: `00-${TRACE}-${SPAN}-00` });
    expect(arrived()).toEqual([
      { traceId: TRACE, spanId: expect.any(String) as string, flags: '00', state: undefined },
    ]);
  });

  it.each<[string, Record<string, string | string[]>]>([
    ['is missing', {}],
    ['came without its parent', { tracestate: 'vendor=opaque' }],
    ['cannot be read', { traceparent: 'YWMt-a-token-in-the-wrong-place', tracestate: 'vendor=opaque' }],
    ['came twice', { traceparent: [SAMPLED.traceparent, SAMPLED.traceparent] }],
  ])("is replaced by one that the request's id names, when it %s", async (_, headers) => {
    const { get, arrived, summaries } = await start();
    const { headers: answered } = await get(headers);
    const own = String(answered['x-request-id']).replaceAll('-', '');
    expect(arrived()).toEqual([{ traceId: own, spanId: expect.any(String) as string, flags: '00', state: undefined }]);
    expect(summaries.at(-1)?.traceId).toBe(own);
  });

  it('ends here where traces do not leave the house, but stands in the log', async () => {
    const { get, arrived, summaries } = await start(['tracing.propagate=false']);
    await get(SAMPLED);
    expect(arrived()).toEqual([{ traceId: undefined, spanId: undefined, flags: undefined, state: undefined }]);
    expect(summaries.at(-1)?.traceId).toBe(TRACE);
  });

  it('does not go to the storage that a redirect leads to', async () => {
    const storage = await startStorage((_req, res) => res.writeHead(200, { 'content-length': 5 }).end('there'));
    onTestFinished(() => storage[Symbol.asyncDispose]());
    const { emulator, gateway } = await startGateway({
      set: [`redirects.hosts=${STORAGE}:${storage.port}`],
      emulator: { limiter: { algorithm: 'off' } },
      storage: {
        ca: storage.ca,
        isAllowedAddress: (address) => address === '127.0.0.1',
        resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      },
    });
    const token = emulator.issueToken(ORG, APP);
    const { uuid } = await uploadTo(emulator.url, token, 'bytes');
    emulator.fault({ kind: 'redirect', location: `https://${STORAGE}:${storage.port}/object` });
    const reply = await ask(`${gateway.url}${CHATFILES}/${uuid}`, { headers: bearer(token, SAMPLED) });
    expect(reply.body.toString()).toBe('there');
    expect(storage.requests).toHaveLength(1);
    expect(JSON.stringify(storage.requests)).not.toMatch(new RegExp(`trace|${TRACE}|opaque`));
  });
});

describe('a collector of traces', () => {
  const startTraced = async (set: string[] = []) => {
    const collector = await startCollector();
    onTestFinished(() => collector[Symbol.asyncDispose]());
    const running = await start([`tracing.otlpUrl=${collector.url}`, ...set]);
    return { ...running, collector, end: () => running.gateway[Symbol.asyncDispose]() };
  };

  it("gets what a request waited for, and every attempt, below the client's own span", async () => {
    const { emulator, gateway, token, collector, arrived, end } = await startTraced();
    emulator.fault({ kind: 'unavailable', times: 1 });
    await uploadTo(gateway.url, token, 'more bytes', SAMPLED);
    await end();
    const { spans } = collector;
    const request = spans.find(hasName('POST upload'));
    expect(request).toMatchObject({
      traceId: TRACE,
      parentSpanId: SPAN,
      traceState: 'vendor=opaque',
      kind: 2,
      attributes: { 'http.request.method': 'POST', 'http.route': 'upload', 'http.response.status_code': 200 },
    });
    expect(spans.filter(({ parentSpanId }) => parentSpanId === request?.spanId).map(({ name }) => name)).toEqual([
      'spool',
      'queue',
      'POST',
      'queue',
      'POST',
    ]);
    const attempts = spans.filter(hasName('POST'));
    expect(attempts.map(({ attributes, status }) => [attributes['http.response.status_code'], status])).toEqual([
      [503, 2],
      [200, 0],
    ]);
    expect(attempts.map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1]);
    expect(arrived().map(({ spanId }) => spanId)).toEqual(attempts.map(({ spanId }) => spanId));
  });

  it('gets the requests that are answered from memory, and those that are refused', async () => {
    const { gateway, token, uuid, secret, collector, get, end } = await startTraced(['cache.originalBytes=1MB']);
    for (let i = 0; i < 2; i += 1) expect((await get()).status).toBe(200);
    await ask(`${gateway.url}${CHATFILES}/${uuid}`);
    await ask(`${gateway.url}${CHATFILES}/${uuid}?access_token=${token}&share-secret=${secret}`);
    await end();
    const requests = collector.spans.filter(({ kind }) => kind === 2);
    expect(
      requests.map(({ name, attributes: of }) => [name, of['http.response.status_code'], of['error.type']]),
    ).toEqual([
      ['GET download', 200, undefined],
      ['GET download', 200, undefined],
      ['GET download', 401, 'TOKEN_MISSING'],
      ['GET download', 400, 'QUERY_REFUSED'],
    ]);
    expect(requests[1]?.attributes['chatfiles.cache']).toContain('hit');
    for (const planted of [token, secret, uuid, 'access_token', '?']) expect(collector.text).not.toContain(planted);
  });

  it('gets nothing of traces that are not sampled', async () => {
    const { collector, get, end } = await startTraced();
    await get({ traceparent: `00-${TRACE}-${SPAN}-00` });
    await end();
    expect(collector.spans).toEqual([]);
  });
});

describe('what a process loads', () => {
  const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const TELLS = fileURLToPath(new URL('../kit/loaded.child.ts', import.meta.url));

  /** The packages that a gateway has loaded once it runs. */
  async function packagesOf(set: string[], env: Record<string, string> = {}): Promise<Set<string>> {
    const keys = ['listen.port=0', 'admin.port=0', 'upstream.url=https://a1.easemob.com', ...set];
    const args = ['--import', TELLS, MAIN, 'start', ...keys.flatMap((key) => ['--set', key])];
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    let text = '';
    for await (const chunk of child.stdout) {
      const before = text;
      text += String(chunk);
      if (!before.includes('gateway started') && text.includes('gateway started')) child.kill('SIGUSR2');
      if (/LOADED .*\n/.test(text)) break;
    }
    child.kill('SIGTERM');
    await once(child, 'close');
    const loaded = JSON.parse(/LOADED (.*)\n/.exec(text)?.[1] ?? '[]') as string[];
    return new Set(
      loaded.map((path) =>
        path
          .split('/')
          .slice(0, path.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    );
  }

  it('has nothing of OpenTelemetry but what prom-client brings, where no collector is configured', async () => {
    const packages = await packagesOf([]);
    expect(packages).toContain('prom-client');
    expect([...packages].filter((name) => name.startsWith('@opentelemetry/'))).toEqual(['@opentelemetry/api']);
  });

  it.each<[string, string[], Record<string, string>]>([
    ['the configuration', ['tracing.otlpUrl=http://127.0.0.1:1'], {}],
    ['its variable', [], { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }],
  ])('has the SDK where %s names one', async (_, set, env) => {
    expect(await packagesOf(set, env)).toContain('@opentelemetry/sdk-trace');
  });
});

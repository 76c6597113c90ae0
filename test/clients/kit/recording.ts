/**
 * What clients sent, taken down where it arrives: in this process, without a hop in between that would change it.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';

/** A request as it came. */
export type Arrived = { method: string; target: string; headers: [name: string, value: string][]; form: string[] };

const ARRIVED = 'http.server.request.start';
const CONNECTING = 'net.client.socket';

/** Takes down every request to this server from now on, until the test ends. */
export function recordRequests(url: string): Arrived[] {
  const port = Number(new URL(url).port);
  const arrived: Arrived[] = [];
  const onRequest = (message: unknown) => {
    const { request, socket } = message as { request: IncomingMessage; socket: Socket };
    if (socket.localPort !== port) return;
    const { method = '', url: target = '', rawHeaders } = request;
    const headers = rawHeaders.flatMap((name, index): [string, string][] =>
      index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : [],
    );
    const entry: Arrived = { method, target, headers, form: [] };
    arrived.push(entry);
    // The body goes on to whom it is for; only the names of its parts are read as it passes.
    const push = request.push.bind(request);
    request.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      const heads = chunk?.toString('latin1').matchAll(/Content-Disposition: form-data; name="?([^";\r]+)/gi) ?? [];
      entry.form.push(...[...heads].map(([, name = '']) => name));
      return push(chunk, encoding);
    };
  };
  subscribe(ARRIVED, onRequest);
  onTestFinished(() => void unsubscribe(ARRIVED, onRequest));
  return arrived;
}

/** Takes down every name that this process looks up from now on, until the test ends; addresses need no look-up. */
export function recordLookups(): string[] {
  const names: string[] = [];
  const onSocket = (message: unknown) => {
    const { socket } = message as { socket: Socket };
    socket.once('lookup', (_error: unknown, address: string, _family: unknown, host: string) => {
      if (host !== address) names.push(host);
    });
  };
  subscribe(CONNECTING, onSocket);
  onTestFinished(() => void unsubscribe(CONNECTING, onSocket));
  return names;
}

/** The fields that matter to whoever judges or forwards a request. */
const TOLD = [
  'authorization',
  'accept',
  'restrict-access',
  'share-secret',
  'thumbnail',
  'thumbnail-width',
  'thumbnail-height',
  'content-type',
  'transfer-encoding',
  'expect',
  'upgrade',
  'range',
  'origin',
  'x-requested-with',
  'access-control-request-method',
  'access-control-request-headers',
  'sec-fetch-dest',
];

/** The lines of a table that tells what came, with what is different every time replaced by its name. */
export function tableOf(arrived: readonly Arrived[]): string {
  const rows = arrived.map(({ method, target, headers, form }) => {
    const told = headers
      .filter(([name, value]) => TOLD.includes(name.toLowerCase()) && !SAYING_NOTHING.includes(value))
      .toSorted(([a], [b]) => TOLD.indexOf(a.toLowerCase()) - TOLD.indexOf(b.toLowerCase()))
      .map(([name, value]) => `\`${name}: ${withoutChance(name, value)}\``);
    const parts = form.length > 0 ? [`form: ${form.map((name) => `\`${name}\``).join(', ')}`] : [];
    return `| \`${method} ${shapeOf(target)}\` | ${[...told, ...parts].join('<br>')} |`;
  });
  return ['| Request | Fields |', '|---|---|', ...new Set(rows), ''].join('\n');
}

// An Accept of anything, and the Sec-Fetch-Dest of a script.
const SAYING_NOTHING = ['*/*', 'empty'];

const shapeOf = (target: string): string =>
  target
    .replace(/^\/[^/]+\/[^/]+/, '/{org}/{app}')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, '{uuid}')
    .replace(/share-secret=[^&]+/, 'share-secret={secret}')
    .replace(/chat-target=[^&]+/, 'chat-target={to}');

function withoutChance(name: string, value: string): string {
  switch (name.toLowerCase()) {
    case 'authorization':
      return value.replace(/\S+$/, '{token}');
    case 'share-secret':
      return '{secret}';
    case 'origin':
      return '{page}';
    // What else a browser takes changes with its version.
    case 'accept':
      return value.replace(/^image\/.*/, 'image/…');
    case 'content-type':
      return value.replace(/boundary=.*/, 'boundary=…');
    default:
      return value;
  }
}

const DOC = fileURLToPath(new URL('../../../docs/clients.md', import.meta.url));

/**
 * What came from a client is what docs/clients.md says of it, between the comments that bear its name.
 * With RECORD_CLIENTS=1 it is written there instead.
 */
export function expectToldInDocs(client: string, arrived: readonly Arrived[]): void {
  const text = readFileSync(DOC, 'utf8');
  const begin = `<!-- recorded: ${client} -->\n`;
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf('<!-- end -->', from);
  expect(text.includes(begin) && to !== -1, `a place for ${client} in docs/clients.md`).toBe(true);
  const table = tableOf(arrived);
  if (process.env['RECORD_CLIENTS']) writeFileSync(DOC, `${text.slice(0, from)}${table}${text.slice(to)}`);
  else expect(text.slice(from, to)).toBe(table);
}

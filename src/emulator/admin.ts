import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { EmulatorControls } from './controls.ts';
import { faultSchema } from './faults.ts';
import { limiterSchema } from './limiter.ts';
import { parseTarget } from './target.ts';

/** What an admin request comes to. */
type Outcome = { status: number; value?: unknown };

/** One thing that can be done over the admin port. */
type Operation = { does: string; run(input: { body: unknown; uuid: string; query: URLSearchParams }): Outcome };

/** Thrown for a request that the admin port cannot make sense of. */
class BadInput extends Error {}

const MAX_BODY_BYTES = 1024 * 1024;

const listSchema = z.strictObject({
  last: z.coerce.number().int().min(0).optional(),
  interface: z.enum(['upload', 'download', 'thumbnail', 'token', 'users', 'other']).optional(),
});
const tokenSchema = z.strictObject({ token: z.string().min(1) });
const name = z.string().min(1).max(100);
const issueSchema = z.strictObject({
  org: name,
  app: name,
  username: name.optional(),
  kind: z.enum(['user', 'app']).optional(),
  ttlSeconds: z.number().min(-1e9).max(1e9).optional(),
  layout: z.enum(['short', 'long']).optional(),
});
// The defaults are for a new limiter: here, what is not given stays.
const limiterChangeSchema = z.strictObject({
  algorithm: limiterSchema.shape.algorithm.unwrap().exactOptional(),
  perSecond: limiterSchema.shape.perSecond.unwrap().exactOptional(),
  appPerSecond: limiterSchema.shape.appPerSecond.unwrap().exactOptional(),
  scope: limiterSchema.shape.scope.unwrap().exactOptional(),
  phaseMs: limiterSchema.shape.phaseMs.unwrap().exactOptional(),
  burst: limiterSchema.shape.burst.unwrap().exactOptional(),
  status: limiterSchema.shape.status.unwrap().exactOptional(),
  retryAfter: limiterSchema.shape.retryAfter.unwrap().exactOptional(),
  countRefused: limiterSchema.shape.countRefused.unwrap().exactOptional(),
});

function read<Schema extends z.ZodType>(schema: Schema, given: unknown): z.output<Schema> {
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw new BadInput(z.prettifyError(parsed.error));
  return parsed.data;
}

const done: Outcome = { status: 204 };
const doneIf = (found: boolean, what: string): Outcome =>
  found ? done : { status: 404, value: { error: 'not_found', error_description: `there is no such ${what}` } };

/** Every operation, by its method and path. */
const operationsOf = (controls: EmulatorControls): Record<string, Operation> => ({
  'GET /received': {
    does: 'the requests that were received, oldest first; ?last=N and ?interface=upload narrow it down',
    run({ query }) {
      const { last, interface: wanted } = read(listSchema, Object.fromEntries(query));
      const all = controls.received().filter((entry) => wanted === undefined || entry.interface === wanted);
      return { status: 200, value: last === undefined ? all : all.slice(Math.max(0, all.length - last)) };
    },
  },
  'DELETE /received': {
    does: 'forgets the received requests and begins the counts anew',
    run() {
      controls.clearReceived();
      return done;
    },
  },
  'GET /stats': { does: 'counts', run: () => ({ status: 200, value: controls.stats() }) },
  'GET /faults': { does: 'the faults that wait for requests', run: () => ({ status: 200, value: controls.faults() }) },
  'POST /faults': {
    does: 'adds one fault, or an array of them',
    run({ body }) {
      for (const fault of read(z.array(faultSchema), Array.isArray(body) ? body : [body])) controls.fault(fault);
      return { status: 201, value: controls.faults() };
    },
  },
  'DELETE /faults': {
    does: 'takes all faults back',
    run() {
      controls.clearFaults();
      return done;
    },
  },
  'GET /limiter': { does: "the limiter's settings", run: () => ({ status: 200, value: controls.limiter() }) },
  'PUT /limiter': {
    does: 'changes the settings that are given, and begins every allowance anew',
    run({ body }) {
      controls.setLimiter(read(limiterChangeSchema, body));
      return { status: 200, value: controls.limiter() };
    },
  },
  'POST /tokens': {
    does: 'issues a token without a login, {org, app, username?, kind?, ttlSeconds?, layout?}',
    run({ body }) {
      const { org, app, ...options } = read(issueSchema, body);
      return { status: 201, value: { access_token: controls.issueToken(org, app, options) } };
    },
  },
  'POST /tokens/revoke': {
    does: 'revokes {token}',
    run: ({ body }) => doneIf(controls.revokeToken(read(tokenSchema, body).token), 'token'),
  },
  'DELETE /files/{uuid}': {
    does: 'forgets a file',
    run: ({ uuid }) => doneIf(controls.forgetFile(uuid), 'file'),
  },
  'POST /files/{uuid}/expire': {
    does: 'lets a file expire',
    run: ({ uuid }) => doneIf(controls.expireFile(uuid), 'file'),
  },
});

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new BadInput(`the body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new BadInput('the body is not JSON');
  }
}

const FILE_PATH = /^\/files\/([^/]+)(\/expire)?$/;

function send(res: ServerResponse, { status, value }: Outcome): void {
  const body = value === undefined ? '' : `${JSON.stringify(value, undefined, 2)}\n`;
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  if (status === 204) res.writeHead(status).end();
  else res.writeHead(status, headers).end(body);
}

/** Answers the admin port: the same switches as within the process, as JSON. */
export function createAdmin(controls: EmulatorControls) {
  const operations = operationsOf(controls);
  const overview = Object.fromEntries(Object.entries(operations).map(([route, { does }]) => [route, does]));
  const known = new Map(Object.entries(operations));

  const answer = async (req: IncomingMessage): Promise<Outcome> => {
    const { path, query } = parseTarget(req.url ?? '/');
    const file = FILE_PATH.exec(path);
    const route = `${req.method} ${file ? `/files/{uuid}${file[2] ?? ''}` : path}`;
    if (route === 'GET /') return { status: 200, value: overview };
    const operation = known.get(route);
    if (operation === undefined) {
      return { status: 404, value: { error: 'not_found', error_description: `there is no ${route}; GET / lists all` } };
    }
    return operation.run({ body: await readJson(req), uuid: file?.[1] ?? '', query });
  };

  return async (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): Promise<void> => {
    req.on('error', () => {});
    res.on('error', () => {});
    if (awaitsContinue) res.writeContinue();
    try {
      send(res, await answer(req));
    } catch (thrown) {
      const description = thrown instanceof Error ? thrown.message : String(thrown);
      send(res, { status: 400, value: { error: 'bad_request', error_description: description } });
    }
  };
}

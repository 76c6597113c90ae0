/**
 * What would become of a request, told step by step to the operator: by the phases, policies, `access`, cache and line
 * that a real one meets, in the same order.
 *
 * Nothing is sent, counted or learnt, and nothing of the request is told again but what decides: no token, no secret.
 * What other replicas know of a token is not asked for; what only the body or Easemob can tell is left open.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { checkFraming, checkHead } from '../policy/head.ts';
import { inHeaders } from '../policy/header-form.ts';
import { asUnderstood } from '../policy/header-values.ts';
import { checkQuery, readQuery } from '../policy/query.ts';
import { checkSecret } from '../policy/secret.ts';
import type { SizePolicy } from '../policy/size.ts';
import { readTarget } from '../policy/target.ts';
import { readWish, type Variant } from '../policy/variant.ts';
import type { Kind } from '../quota/waiter.ts';
import { createPlainTracing } from '../tracing/trace.ts';
import { admit } from './admit.ts';
import { authorize, authorizeReader } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { walkBeside } from './explain-beside.ts';
import {
  type Explain,
  type ExplainDeps,
  oneOf,
  type Question,
  type Step,
  step,
  tellReported,
  type Walk,
} from './explain-steps.ts';
import { placeOf } from './forward.ts';
import { identify, refuseAgain } from './recognise.ts';
import { decisionOf } from './summarize.ts';

/** Opens the explanation of requests under one configuration. */
export const createExplain =
  (deps: ExplainDeps): Explain =>
  (question) => {
    const steps: Step[] = [];
    try {
      return { decision: 'allow', decisionReason: walk({ question, steps, deps }), status: undefined, steps };
    } catch (thrown) {
      if (!(thrown instanceof GatewayError)) throw thrown;
      return { ...decisionOf(thrown.code, { route: 'other' }), status: thrown.status, steps };
    }
  };

function walk(at: Walk): 'cache' | 'upstream' {
  const { question, deps } = at;
  const { method, headers } = question;
  const target = step(
    at,
    'path',
    () => readPath(at),
    (read) => ('kind' in read ? `a path beside the files: ${read.kind}` : `a file's, of ${read.org}/${read.app}`),
  );
  const query = step(
    at,
    'head',
    () => readHead(question, target.query),
    () => 'can be read in one way only',
  );
  const exchange: Exchange = {
    id: '',
    trace: NO_TRACE,
    startedAt: deps.clock.now(),
    signal: new AbortController().signal,
    client: question.client,
    trail: { attempts: 0, queuedMs: 0, upstreamMs: 0 },
    route: 'other',
    bytesIn: 0,
    bytesOut: 0,
  };
  if ('kind' in target) return walkBeside(at, target, exchange);
  step(
    at,
    'method',
    () => oneOf(method, target.file === undefined ? 'POST' : 'GET, HEAD'),
    () => method,
  );
  const req = { headers } as { headers: IncomingHttpHeaders };
  const isUpload = target.file === undefined;
  const token = step(
    at,
    'app and token',
    () =>
      isUpload
        ? authorize(req, target, deps.authorize, exchange)
        : authorizeReader(req, target, query.get('share-secret')?.[0], deps.authorize, exchange),
    (read) => (read ? `a token of the layout "${read.layout}", kind "${read.kind}"` : 'no token, but a share-secret'),
  );
  tellReported(at, exchange);
  const app = `${target.org}/${target.app}`;
  const form = inHeaders(headers, target.query, deps.redirects.passes);
  const asked = { file: target.file ?? '', secret: form.isClear ? form.secret : undefined };
  const bearer = token ? identify(deps.access, app, token) : deps.access.identifyNobody(app, asked);
  if (isUpload) step(at, 'size and type', () => admitForm(req, deps.size), announced);
  step(
    at,
    'earlier refusals',
    () => refuseAgain(deps.access, bearer),
    () => 'Easemob has not refused these credentials lately',
  );
  if (isUpload) at.steps.push({ step: 'body', verdict: 'open', says: 'its form and its size are judged as it comes' });
  else if (!bearer.isReported && isKeptFor(at, form, asked, bearer)) return 'cache';
  const { isSmall } = readWish(asUnderstood(form.fields, form.query, deps.compat.headerValues), form.query);
  stand(at, bearer, isUpload ? 'upload' : isSmall ? 'thumbnail' : 'download');
  return 'upstream';
}

/** Nothing was asked by anybody, so there is nothing to go on with. */
const NO_TRACE = createPlainTracing().begin({}, '');

function readPath({ question, deps }: Walk) {
  const { path, headers } = question;
  if (!/^\d*$/.test(headers['content-length'] ?? ''))
    throw new GatewayError('REQUEST_MALFORMED', { reason: 'a Content-Length that is no number' });
  enforce(checkFraming({ httpVersion: '1.1', rawHeaders: Object.entries(headers).flat() }));
  const asFile = readTarget(path);
  const beside = 'allowed' in asFile ? deps.readSibling?.(path) : undefined;
  const reading = beside ?? asFile;
  if ('allowed' in reading) throw new GatewayError(reading.code, { reason: reading.reason });
  return reading;
}

function readHead({ method, headers }: Question, raw: string): Map<string, string[]> {
  enforce(
    checkHead({ method, httpVersion: '1.1', rawHeaders: Object.entries({ host: 'explain', ...headers }).flat() }),
  );
  const query = readQuery(raw);
  enforce(checkQuery(query));
  enforce(checkSecret(headers['share-secret'], query?.get('share-secret')?.[0]));
  return query ?? new Map<string, string[]>();
}

/** Judges a form by its head; one of no bytes is none. */
function admitForm(req: { headers: IncomingHttpHeaders }, size: SizePolicy): number | undefined {
  const { announcedBytes } = admit(req, size);
  if (announcedBytes === 0) throw new GatewayError('MULTIPART_MALFORMED', { reason: 'a form without a byte' });
  return announcedBytes;
}

const announced = (bytes: number | undefined): string =>
  bytes === undefined ? 'a form of which no size is announced' : `a form of ${bytes} bytes`;

/** Whether it would be answered from the cache. */
function isKeptFor({ steps, deps }: Walk, form: ReturnType<typeof inHeaders>, asked: Asked, bearer: Bearer): boolean {
  const { variant } = readWish(asUnderstood(form.fields, form.query, deps.compat.headerValues), form.query);
  const why = whyUnkept(variant, form.isClear, deps);
  if (why !== undefined || variant === undefined) {
    steps.push({ step: 'cache', verdict: 'open', says: `passed by: ${why ?? ''}` });
    return false;
  }
  const tier = deps.cache.holds({ app: bearer.app, file: asked.file, variant });
  const sight = deps.access.maySee(bearer, asked, deps.outage.isOn);
  const seen = sight.allowed
    ? `this bearer may see it${sight.usedGrace ? ', in the grace while Easemob is down' : ''}`
    : `Easemob is asked first: ${UNSEEN[sight.reason]}`;
  steps.push({
    step: 'cache',
    verdict: 'open',
    says: `the form "${variant}" is ${tier === undefined ? 'not kept' : `in ${tier}`}; ${seen}`,
  });
  return tier !== undefined && sight.allowed;
}

function whyUnkept(
  variant: Variant | undefined,
  isClear: boolean,
  { isCaching, keep }: ExplainDeps,
): string | undefined {
  if (!isCaching) return 'cache.enabled is false';
  if (variant === undefined) return 'a form of the file that is never kept';
  if (!isClear) return 'its secret is spelled in a way that readers may understand differently';
  return variant === 'original' && keep.originalBytes === 0
    ? 'originals are not kept (cache.originalBytes)'
    : undefined;
}

const UNSEEN = {
  'token-ended': 'the token has come to its end',
  'token-refused': 'it has refused the token lately',
  'no-grant': 'it has not accepted the token lately, as far as this replica knows',
  'no-proof': 'nothing shows yet that this bearer may see this file',
} as const;

/** Where it would stand in the line before the upstream. */
function stand(at: Walk, bearer: Bearer, kind: Kind): void {
  const { deps, question } = at;
  const place = placeOf(deps, { kind, bearer }, question.client);
  const { waitMs, waiting, replicas } = deps.outlook(place);
  const maxWaitMs = deps.line.maxWaitMs[kind];
  const line = `${waiting} wait here, ${replicas} replica${replicas === 1 ? '' : 's'} share the quota`;
  step(
    at,
    'line',
    () => {
      const reason = `it would wait for about ${Math.ceil(waitMs)} ms, ${maxWaitMs} ms are allowed; ${line}`;
      if (waitMs > maxWaitMs) throw new GatewayError('QUEUE_FULL', { reason });
    },
    () => `a slot in about ${Math.ceil(waitMs)} ms; ${line}`,
  );
}

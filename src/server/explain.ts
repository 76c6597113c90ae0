/**
 * What would become of a request, told step by step to the operator: by the phases, policies, `access`, cache and line
 * that a real one meets, in the same order.
 *
 * Nothing is sent, counted or learnt, and nothing of the request is told again but what decides: no token, no secret.
 * What other replicas know of a token is not asked for; what only the body or Easemob can tell is left open.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Access, Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Cache } from '../cache/cache.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { enforce } from '../policy/decision.ts';
import { checkFraming, checkHead } from '../policy/head.ts';
import { inHeaders } from '../policy/header-form.ts';
import { asUnderstood, type HeaderValues } from '../policy/header-values.ts';
import type { Passthrough } from '../policy/passthrough.ts';
import { checkQuery, readQuery } from '../policy/query.ts';
import { checkSecret } from '../policy/secret.ts';
import type { SizePolicy } from '../policy/size.ts';
import { readTarget, type Target } from '../policy/target.ts';
import { readWish, type Variant } from '../policy/variant.ts';
import type { Outlook } from '../quota/slots.ts';
import type { Kind } from '../quota/waiter.ts';
import { createPlainTracing } from '../tracing/trace.ts';
import { admit } from './admit.ts';
import { authorize, authorizeApp, authorizeReader, type AuthorizePolicy } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { type LineRules, placeOf } from './forward.ts';
import type { Outage } from './outage.ts';
import { identify, refuseAgain } from './recognise.ts';
import { type DecisionReason, decisionOf } from './summarize.ts';

/** A request as it might come: its raw target, its fields by lower-case name, and the address that it would come from. */
export type Question = { method: string; path: string; headers: Record<string, string>; client: string };

/** One step of the walk, and what it says. `report`: a policy would deny it, but only reports (`enforce`). `open`: only the body, other replicas or Easemob can tell. */
export type Step = { step: string; verdict: 'allow' | 'deny' | 'report' | 'open'; says: string };

/** How the walk would end here, and by which steps. */
export type Explained = {
  decision: 'allow' | 'deny';
  decisionReason: DecisionReason;
  status: number | undefined;
  steps: Step[];
};

/** Tells what would become of a request. */
export type Explain = (question: Question) => Explained;

/** What a real request meets, as far as it can be asked without leaving a trace. */
export type ExplainDeps = {
  clock: Clock;
  authorize: AuthorizePolicy;
  size: SizePolicy;
  isCaching: boolean;
  keep: { originalBytes: number };
  cache: Pick<Cache, 'holds'>;
  access: Pick<Access, 'identify' | 'identifyReported' | 'identifyNobody' | 'refusalOf' | 'maySee' | 'isProven'>;
  outage: Pick<Outage, 'isOn'>;
  line: LineRules;
  outlook: (place: Parameters<Outlook>[0]) => ReturnType<Outlook>;
  redirects: { passes: boolean };
  compat: { headerValues: HeaderValues };
  readSibling: Passthrough | undefined;
};

type Walk = { question: Question; steps: Step[]; deps: ExplainDeps };

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

/** One phase: what it throws is its "no". */
function step<Result>({ steps }: Walk, name: string, ask: () => Result, says: (result: Result) => string): Result {
  try {
    const result = ask();
    steps.push({ step: name, verdict: 'allow', says: says(result) });
    return result;
  } catch (thrown) {
    if (thrown instanceof GatewayError) {
      steps.push({ step: name, verdict: 'deny', says: `${thrown.code}: ${thrown.reason ?? thrown.message}` });
    }
    throw thrown;
  }
}

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
  if ('kind' in target) {
    const { app } = target;
    if (app) {
      const isListed = () => authorizeApp(app, deps.authorize, exchange);
      step(at, 'app', isListed, () => `${app.org}/${app.app}`);
    }
    tellReported(at, exchange);
    const says = 'it goes upstream, where its limits allow; Easemob decides';
    at.steps.push({ step: 'beside the files', verdict: 'open', says });
    return 'upstream';
  }
  step(
    at,
    'method',
    () => checkMethod(method, target),
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
  if (isUpload)
    step(
      at,
      'size and type',
      () => admit(req, deps.size),
      ({ announcedBytes }) => announced(announcedBytes),
    );
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

/** A policy that only reports has had its say. */
function tellReported({ steps }: Walk, { wouldDeny }: Exchange): void {
  if (!wouldDeny) return;
  const says = `${wouldDeny.code}: ${wouldDeny.reason}; it goes on, since that is only reported (enforce)`;
  steps.push({ step: 'enforce', verdict: 'report', says });
}

function readPath({ question, deps }: Walk) {
  const { path, headers } = question;
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

function checkMethod(method: string, { file }: Target): void {
  const allowed = file === undefined ? ['POST'] : ['GET', 'HEAD'];
  if (!allowed.includes(method))
    throw new GatewayError('METHOD_NOT_ALLOWED', { reason: `allowed here: ${allowed.join(', ')}` });
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

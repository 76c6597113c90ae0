/** The steps in which the operator is told what would become of a request, and what they are asked of. */
import type { Access } from '../access/access.ts';
import type { Cache } from '../cache/cache.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { HeaderValues } from '../policy/header-values.ts';
import type { Passthrough } from '../policy/passthrough.ts';
import type { SizePolicy } from '../policy/size.ts';
import type { Outlook } from '../quota/slots.ts';
import type { AuthorizePolicy } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import type { LineRules } from './forward.ts';
import type { Outage } from './outage.ts';
import type { DecisionReason } from './summarize.ts';

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
  siblings: { maxBytes: number; maxLoginBytes: number };
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

/** An explanation on its way. */
export type Walk = { question: Question; steps: Step[]; deps: ExplainDeps };

/** One phase: what it throws is its "no". */
export function step<Result>(
  { steps }: Walk,
  name: string,
  ask: () => Result,
  says: (result: Result) => string,
): Result {
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

/** A policy that only reports has had its say. */
export function tellReported({ steps }: Walk, { wouldDeny }: Exchange): void {
  if (!wouldDeny) return;
  const says = `${wouldDeny.code}: ${wouldDeny.reason}; it goes on, since that is only reported (enforce)`;
  steps.push({ step: 'enforce', verdict: 'report', says });
}

/** Refuses a method that is not among these. */
export function oneOf(method: string, allowed: string): void {
  if (!allowed.split(', ').includes(method))
    throw new GatewayError('METHOD_NOT_ALLOWED', { reason: `allowed here: ${allowed}` });
}

import type { ProvenTokens } from '../access/proven.ts';
import type { Kind } from '../quota/waiter.ts';
import type { OutboundRequest, Outcome, Send } from '../upstream/send.ts';
import type { Exchange } from './exchange.ts';

/** What asking the upstream needs: the way out, whose tokens it has accepted lately, and the rules of the line. */
export type ForwardDeps = { send: Send; proven: ProvenTokens; line: LineRules; prove: (bearer: string) => void };

/** How long each kind may wait for its slots in ms, and whether some kinds go before others. */
export type LineRules = {
  maxWaitMs: Readonly<Record<Kind, number>>;
  thumbnailsFirst: boolean;
  /** Who takes turns: the address, the bearer or the app. */
  clientKey: (address: string, app: string, token: string) => string;
};

const CLASSES: Readonly<Record<Kind, number>> = { thumbnail: 0, download: 1, upload: 2 };

/** The phase that asks the upstream, in line with everybody else, and learns from the answer which tokens it accepts. */
export async function forward(
  { send, proven, line, prove }: ForwardDeps,
  request: Omit<OutboundRequest, 'turn' | 'signal' | 'trail'>,
  kind: Kind,
  token: string,
  { signal, trail, client, app = '' }: Exchange,
): Promise<Outcome> {
  const bearer = proven.nameOf(app, token);
  const turn = {
    bearer,
    client: line.clientKey(client, app, token),
    app,
    kind,
    isProven: proven.isProven(app, token),
    priority: line.thumbnailsFirst ? CLASSES[kind] : 0,
    maxWaitMs: line.maxWaitMs[kind],
  };
  const outcome = await send({ ...request, turn, signal, trail });
  if (outcome.kind === 'answer' && outcome.status < 300) {
    if (proven.accept(app, token)) prove(bearer);
  } else if (outcome.kind === 'refusal' && outcome.status === 401) proven.withdraw(app, token);
  return outcome;
}

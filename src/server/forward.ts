import type { Access, Asked } from '../access/access.ts';
import type { Bearer } from '../access/bearer.ts';
import type { Clock } from '../clock.ts';
import type { Kind } from '../quota/waiter.ts';
import type { OutboundRequest, Outcome, Send } from '../upstream/send.ts';
import type { Exchange } from './exchange.ts';
import type { Outage } from './outage.ts';

/** What asking the upstream needs: the way out, what is known of tokens, the rules of the line, and whom it tells of news. */
export type ForwardDeps = {
  clock: Clock;
  send: Send;
  access: Access;
  outage: Outage;
  line: LineRules;
  /** Called when the upstream has accepted a bearer that had to stand with the unproven. */
  prove: (bearer: string) => void;
};

/** How long each kind may wait for its slots in ms, and whether some kinds go before others. */
export type LineRules = {
  maxWaitMs: Readonly<Record<Kind, number>>;
  thumbnailsFirst: boolean;
  /** Who takes turns: the address, the bearer or the app. */
  clientKey: (address: string, app: string, token: string) => string;
};

/** Who asks, for what, and what is called when an attempt goes out; the signal is the client's unless another is given. */
export type Asking = {
  kind: Kind;
  bearer: Bearer;
  asked?: Asked;
  signal?: AbortSignal;
  /** Only what nobody else needs is used for it. */
  isSpare?: boolean;
  /**
   * Whether the outcome says anything of the token, and of whether files can be had. Beside the files it does not: some of
   * these paths need no token, or believe one in the body; some refuse what their bearer may not do, but may do with files.
   */
  isTelling?: boolean;
  onSent?: () => void;
};

/** How it ended, and when the attempt that ended so was sent: ms of the monotonic clock. */
export type Forwarded = { outcome: Outcome; sentAt: number };

const CLASSES: Readonly<Record<Kind, number>> = { thumbnail: 0, sibling: 1, download: 1, upload: 2 };

/** By what a request has its turns in the line. */
export function placeOf(
  { access, line }: { access: Pick<Access, 'isProven'>; line: LineRules },
  { kind, bearer }: Pick<Asking, 'kind' | 'bearer'>,
  address: string,
) {
  const { app, token } = bearer;
  return {
    client: line.clientKey(address, app, token),
    app,
    bearer: bearer.key,
    kind,
    // One that is only reported stands with those whom nobody knows, whatever its token once was.
    isProven: !bearer.isReported && access.isProven(app, token),
    priority: line.thumbnailsFirst ? CLASSES[kind] : 0,
  };
}

/** The phase that asks the upstream, in line with everybody else, and learns from the answer which tokens it accepts. */
export async function forward(
  { clock, send, access, outage, line, prove }: ForwardDeps,
  request: Omit<OutboundRequest, 'turn' | 'signal' | 'trail' | 'onDeparture'>,
  { kind, bearer, asked, signal, isSpare = false, isTelling = true, onSent = () => {} }: Asking,
  exchange: Exchange,
): Promise<Forwarded> {
  const place = placeOf({ access, line }, { kind, bearer }, exchange.client);
  const turn = { ...place, isSpare, maxWaitMs: line.maxWaitMs[kind] };
  let sentAt = clock.monotonic();
  const onDeparture = () => {
    sentAt = clock.monotonic();
    onSent();
  };
  const { trail, trace } = exchange;
  const leaving = signal ?? exchange.signal;
  const outcome = await send({ ...request, turn, signal: leaving, trail, trace, onDeparture });
  if (!isTelling || bearer.isReported) return { outcome, sentAt };
  // What a client broke off itself says nothing of the upstream.
  if (!leaving.aborted) outage.note(outcome);
  if (outcome.kind === 'answer' && outcome.status < 300) {
    access.learnAccepted(bearer, sentAt);
    // Who has no token stands with the unproven for good: nothing tells one such reader from another.
    if (!place.isProven && bearer.kind !== 'nobody') prove(bearer.key);
  } else if (outcome.kind === 'refusal') access.learnRefusal(bearer, outcome, sentAt, asked);
  return { outcome, sentAt };
}

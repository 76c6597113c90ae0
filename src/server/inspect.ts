/**
 * The phase that looks into a file which was taken in whole, before anything of it leaves: what it is by its first bytes
 * and its name, and, where there is a scanner, what that finds in it.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { EnforceConfig } from '../policy/config.ts';
import type { ContentPolicy } from '../policy/content.ts';
import { type Denial, deny } from '../policy/decision.ts';
import type { MultipartWatch } from '../policy/multipart.ts';
import { sniff } from '../policy/sniff.ts';
import type { Verdict } from '../scan/clamd.ts';
import type { Scanner } from '../scan/scanner.ts';
import type { SpooledBody } from '../upstream/spooled-body.ts';
import { decide } from './decide.ts';
import type { Exchange } from './exchange.ts';

/** By what files are judged: the rules, the scanner, if there is one, and what becomes of a file that it could not look at. */
export type InspectRules = {
  content: ContentPolicy;
  scanner: Scanner | undefined;
  failOpen: boolean;
  enforce: Pick<EnforceConfig, 'content' | 'scan'>;
};

type AppName = { org: string; app: string };

/** What belongs to no app is judged by the rules that are for all. */
const NO_APP: AppName = { org: '', app: '' };

/** What the phase needs. */
export type InspectDeps = { inspect: InspectRules; clock: Clock };

/** How soon a client may come back when its file could not be looked at, in ms. */
const RETRY_MS = 5000;

/** Judges a file; throws, or notes on the exchange what a policy that only reports has against it. */
export async function inspect(
  watch: MultipartWatch,
  body: SpooledBody,
  target: AppName | undefined,
  exchange: Exchange,
  { inspect: rules, clock }: InspectDeps,
): Promise<void> {
  const { org, app } = target ?? NO_APP;
  const { movement } = exchange;
  const hasRules = rules.content.appliesTo(org, app);
  const sniffed = hasRules || movement?.content ? await sniff(watch.fileHead) : undefined;
  if (movement) Object.assign(movement, { sniffed, names: watch.fileNames, bytes: watch.fileBytes });
  if (hasRules) {
    decide(rules.enforce.content, rules.content.judge(org, app, { sniffed, names: watch.fileNames }), exchange);
  }
  if (!rules.scanner) return;
  const startedAt = clock.monotonic();
  const verdict = await rules.scanner.scan(fileIn(body, watch), exchange.signal);
  exchange.scan = { verdict: verdict.kind, ms: clock.monotonic() - startedAt };
  if (exchange.signal.aborted) throw new GatewayError('CLIENT_GONE', { reason: 'left while its file was scanned' });
  const denial = denialOf(verdict);
  if (verdict.kind === 'failed' && rules.failOpen) return;
  if (denial?.code === 'SCAN_UNAVAILABLE' && rules.enforce.scan === 'on') {
    throw new GatewayError(denial.code, { reason: denial.reason, retryAfterMs: RETRY_MS });
  }
  if (denial) decide(rules.enforce.scan, denial, exchange);
}

/** A file that goes up in parts is never there as a whole: where files are judged, it is not let through. */
export function refuseParts(target: AppName | undefined, exchange: Exchange, deps: Pick<InspectDeps, 'inspect'>): void {
  const denial = deny('PARTS_UNJUDGED', 'a file in parts can be judged neither by its content nor by a scan');
  refuseUnjudged(denial, target, exchange, deps);
}

/** Nor is a body on another path that may be a file, since nobody looks into it: what is neither JSON, a form's fields, nor text. */
export function refuseFiles(
  { headers }: Pick<IncomingMessage, 'headers'>,
  target: AppName | undefined,
  exchange: Exchange,
  deps: Pick<InspectDeps, 'inspect'>,
): void {
  if (hasNoBody(headers) || WORDS.test(headers['content-type'] ?? '')) return;
  const denial = deny('BODY_UNJUDGED', 'a body beside the files is neither JSON, nor the fields of a form, nor text');
  refuseUnjudged(denial, target, exchange, deps);
}

const WORDS = /^[ \t]*(?:application\/(?:(?:[\w.-]+\+)?json|x-www-form-urlencoded)|text\/[\w.+-]+)[ \t]*(?:;[^,]*)?$/i;

const hasNoBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;

function refuseUnjudged(
  denial: Denial,
  target: AppName | undefined,
  exchange: Exchange,
  { inspect: { content, scanner, enforce } }: Pick<InspectDeps, 'inspect'>,
): void {
  const { org, app } = target ?? NO_APP;
  if (content.appliesTo(org, app)) decide(enforce.content, denial, exchange);
  if (scanner) decide(enforce.scan, denial, exchange);
}

function denialOf(verdict: Verdict): Denial | undefined {
  if (verdict.kind === 'clean') return undefined;
  if (verdict.kind === 'failed') return deny('SCAN_UNAVAILABLE', `clamd: ${verdict.reason}`);
  return { ...deny('FILE_INFECTED', `clamd found ${verdict.name}`), detail: verdict.name };
}

/** The file's own bytes, without the form around them. */
async function* fileIn(
  body: SpooledBody,
  { fileStart, fileBytes }: Pick<MultipartWatch, 'fileStart' | 'fileBytes'>,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const block of body.open() as AsyncIterable<Buffer>) {
    const piece = block.subarray(Math.max(0, fileStart - at), Math.max(0, fileStart + fileBytes - at));
    at += block.length;
    if (piece.length > 0) yield piece;
    if (at >= fileStart + fileBytes) return;
  }
}

/**
 * Files that go up in parts, where the operator has named this path: each part is small, so that the size policy would
 * mean nothing. What has come of each file is summed (quota/part-sums.ts), and what would be too much is refused.
 *
 *   begin (POST) → part (PUT), several at once → end (POST: it is a file now; DELETE: it is given up)
 *
 * A part counts before it is sent. It is given back only if the upstream has certainly not taken it; so a part that is
 * sent again after a timeout counts twice.
 */
import type { Request } from 'express';
import { GatewayError } from '../errors.ts';
import { allow } from '../policy/decision.ts';
import { maxBodyBytes } from '../policy/size.ts';
import { siblingHeaders } from '../upstream/headers.ts';
import type { Outcome } from '../upstream/send.ts';
import type { SpooledBody } from '../upstream/spooled-body.ts';
import { admit, admitBody } from './admit.ts';
import { letContinue, siblingOf } from './edge.ts';
import type { Exchange } from './exchange.ts';
import { forward } from './forward.ts';
import { refuseParts } from './inspect.ts';
import { limit } from './limit.ts';
import { filesIn } from './learn-upload.ts';
import type { Content } from './movement.ts';
import { readApp } from './open.ts';
import { atOurPlace } from './public-url.ts';
import { readWhole } from './read-whole.ts';
import { respond } from './respond.ts';
import type { Handler } from './serve.ts';
import type { SharedFileDeps } from './shared-file.ts';
import { type AdmittedSibling, admitSibling, methodOf, pathOf, takeSmall, unstored } from './sibling.ts';
import { takeBody } from './take-body.ts';

/** What a form may have around its part that does not count as the file. */
const FREE_BYTES = 4 * 1024;

/** More than what begins or ends an upload has to say: no part of a file goes that way. */
const FEW_BYTES = 64 * 1024;

/** POST …/part-upload: the upstream names the upload, whose sum begins. */
export const beginParts =
  (deps: SharedFileDeps): Handler =>
  async (req, res, exchange) => {
    const { outcome } = await sendSmall(req, res, exchange, deps);
    const read = await readWhole(outcome, deps);
    for (const { uuid } of read.whole ? filesIn(read.whole) : []) {
      if (!(await deps.siblings.parts.begin(exchange.app ?? '', uuid))) throw uncounted();
    }
    const answer = atOurPlace(read.outcome, req, deps.publicUrl);
    await respond(unstored(answer, exchange), req, res, exchange, deps);
  };

/** PUT …/part-upload/{id}: one part, as a form or as plain bytes. */
export const sendPart =
  (deps: SharedFileDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'part-upload';
    const movement = deps.witness.begin(exchange, { direction: 'up', app: readApp(req), file: siblingOf(req)?.id });
    const admitted = await admitSibling(req, exchange, deps);
    refuseParts(admitted.target.app, exchange, deps);
    const { announcedBytes, watch, form } = admitPart(req, deps, movement.content);
    await limit(req, res, exchange, admitted.token.value, deps.limit);
    letContinue(req, res);
    const limits = { announcedBytes, maxBytes: maxBodyBytes(deps.size), watch };
    await using taken = await takeBody(req, limits, exchange, deps);
    const { body } = taken;
    movement.bytes = form?.fileBytes ?? body.bytes;
    const counted = form ? Math.max(form.fileBytes, body.bytes - FREE_BYTES) : body.bytes;
    const outcome = await sendCounted(req, admitted, body, counted, exchange, deps);
    await respond(unstored(outcome, exchange), req, res, exchange, deps);
  };

/** POST and DELETE …/part-upload/{id}: the upload is over. Its answer names the file, and so a place. */
export const endParts =
  (deps: SharedFileDeps): Handler =>
  async (req, res, exchange) => {
    const { outcome, target } = await sendSmall(req, res, exchange, deps);
    if (outcome.kind === 'answer' && outcome.status < 300) {
      await deps.siblings.parts.end(exchange.app ?? '', target.id);
    }
    const read = await readWhole(outcome, deps);
    const answer = atOurPlace(read.outcome, req, deps.publicUrl);
    await respond(unstored(answer, exchange), req, res, exchange, deps);
  };

async function sendSmall(req: Request, res: Parameters<Handler>[1], exchange: Exchange, deps: SharedFileDeps) {
  exchange.route = 'part-upload';
  if (req.method === 'POST')
    deps.witness.begin(exchange, { direction: 'up', app: readApp(req), file: siblingOf(req)?.id });
  const { target, token, bearer } = await admitSibling(req, exchange, deps);
  if (req.method !== 'DELETE') refuseParts(target.app, exchange, deps);
  const maxBytes = Math.min(deps.siblings.maxBytes, FEW_BYTES);
  const announcedBytes = admitBody(req, maxBytes);
  await limit(req, res, exchange, token.value, deps.limit);
  letContinue(req, res);
  await using body = await takeSmall(req, { announcedBytes, maxBytes }, exchange, deps);
  const headers = siblingHeaders(req.headers, token.value);
  const request = { method: methodOf(req), path: pathOf(target), headers, body: body.body };
  const { outcome } = await forward(deps, request, { kind: 'sibling', bearer, isTelling: false }, exchange);
  return { outcome, target };
}

/** Web SDKs send a form, native ones the bytes themselves. */
function admitPart(req: Request, { size }: SharedFileDeps, content: Content | undefined) {
  const isPlain = /^[ \t]*application\/octet-stream[ \t]*(?:;|$)/i.test(req.headers['content-type'] ?? '');
  if (!isPlain) {
    const { announcedBytes, watch } = admit(req, size, 'part_file', content);
    return { announcedBytes, watch, form: watch };
  }
  const watch = content && watchPlain(content);
  return { announcedBytes: admitBody(req, size.fileBytes), watch, form: undefined };
}

/** Shows a body that is nothing but bytes. */
const watchPlain = (content: Content) => ({
  push(bytes: Uint8Array) {
    content.take(bytes);
    return allow;
  },
  end: () => allow,
});

async function sendCounted(
  req: Request,
  { target, token, bearer }: AdmittedSibling,
  body: SpooledBody,
  bytes: number,
  exchange: Exchange,
  deps: SharedFileDeps,
): Promise<Outcome> {
  const { parts } = deps.siblings;
  const app = exchange.app ?? '';
  const verdict = await parts.add(app, target.id, bytes, deps.size.fileBytes);
  if (verdict === 'away') throw uncounted();
  if (verdict === 'unknown')
    throw new GatewayError('RESOURCE_UNKNOWN', { reason: 'no upload in parts that began here' });
  if (verdict === 'too-large') {
    throw new GatewayError('BODY_TOO_LARGE', { reason: `with ${bytes} more the parts are larger than a file may be` });
  }
  const headers = siblingHeaders(req.headers, token.value);
  const request = { method: 'PUT', path: pathOf(target), headers, body } as const;
  let isTaken = false;
  try {
    const { outcome } = await forward(deps, request, { kind: 'upload', bearer, isTelling: false }, exchange);
    isTaken = mayBeTaken(outcome);
    return outcome;
  } catch (thrown) {
    // Who left the line, or was turned away from it, has sent nothing that was not refused.
    isTaken = !(thrown instanceof GatewayError && OUT_OF_LINE.has(thrown.code));
    throw thrown;
  } finally {
    if (!isTaken) await parts.giveBack(app, target.id, bytes);
  }
}

const OUT_OF_LINE: ReadonlySet<string> = new Set(['QUEUE_FULL', 'CLIENT_GONE', 'DRAINING']);

/** Whether the upstream may have a part: unless it refused it for what it is, or for its rate, or never got it. */
function mayBeTaken(outcome: Outcome): boolean {
  if (outcome.kind === 'failure') return outcome.sent !== 'nothing';
  return outcome.kind === 'answer' || (outcome.status >= 500 && outcome.status !== 503);
}

const uncounted = () =>
  new GatewayError('PARTS_UNCOUNTED', { retryAfterMs: 1000, reason: 'the parts of an upload cannot be summed now' });

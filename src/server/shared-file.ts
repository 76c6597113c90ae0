import { enforce } from '../policy/decision.ts';
import { checkForm, maxBodyBytes, type SizePolicy } from '../policy/size.ts';
import { isFileName } from '../policy/target.ts';
import { sharedFileHeaders, siblingHeaders } from '../upstream/headers.ts';
import { admit } from './admit.ts';
import { letContinue, siblingOf } from './edge.ts';
import { forward } from './forward.ts';
import { inspect, type InspectDeps } from './inspect.ts';
import { limit } from './limit.ts';
import { atOurPlace } from './public-url.ts';
import type { Witness } from './movement.ts';
import { readApp } from './open.ts';
import { parseObject, readWhole } from './read-whole.ts';
import { respond } from './respond.ts';
import type { Handler } from './serve.ts';
import { admitSibling, pathOf, type SiblingDeps, unstored } from './sibling.ts';
import { takeBody, type TakeDeps } from './take-body.ts';

/** What uploads that are none of a chat file's need on their way. */
export type SharedFileDeps = SiblingDeps &
  TakeDeps &
  InspectDeps & { witness: Witness; size: SizePolicy; publicUrl: string | undefined };

/** POST …/share_files: a file for a group or a room. What holds for uploads holds for it: its size, its form, its line. */
export const shareFile =
  (deps: SharedFileDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'shared-file';
    const movement = deps.witness.begin(exchange, { direction: 'up', app: readApp(req) });
    const { target, token, bearer } = await admitSibling(req, exchange, deps);
    const { announcedBytes, watch } = admit(req, deps.size, 'file', movement.content);
    await limit(req, res, exchange, token.value, deps.limit);
    letContinue(req, res);
    const limits = { announcedBytes, maxBytes: maxBodyBytes(deps.size), watch };
    await using taken = await takeBody(req, limits, exchange, deps);
    enforce(checkForm(taken.body.bytes, watch.fileBytes, deps.size));
    await inspect(watch, taken.body, target.app, exchange, deps);
    const headers = siblingHeaders(req.headers, token.value);
    const request = { method: 'POST', path: pathOf(target), headers, body: taken.body } as const;
    const { outcome } = await forward(deps, request, { kind: 'upload', bearer, isTelling: false }, exchange);
    const read = await readWhole(outcome, deps);
    movement.files = read.whole ? sharedIn(read.whole) : [];
    const answer = atOurPlace(read.outcome, req, deps.publicUrl, placesIn(exchange.app ?? ''));
    await respond(unstored(answer, exchange), req, res, exchange, deps);
  };

/** The file that such an answer names. */
function sharedIn(body: Buffer): string[] {
  const { data } = parseObject(body);
  if (typeof data !== 'object' || data === null) return [];
  const { file_id: id, file_url: url } = data as Record<string, unknown>;
  const name = typeof id === 'string' ? id : typeof url === 'string' ? url.slice(url.lastIndexOf('/') + 1) : '';
  return isFileName(name) ? [name] : [];
}

/** Where such an answer says where the file is; an address elsewhere is no address of this API's. */
const placesIn = (app: string) => [{ names: ['uri'] }, { names: ['data', 'file_url'], below: `/${app}/` }];

/** GET …/share_files/{id}: the file, streamed; its bearer is judged by the upstream each time, and nothing is kept. */
export const sharedFile =
  (deps: SiblingDeps & { witness: Witness }): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'shared-file';
    deps.witness.begin(exchange, { direction: 'down', app: readApp(req), file: siblingOf(req)?.id });
    const { target, token, bearer } = await admitSibling(req, exchange, deps);
    await limit(req, res, exchange, token.value, deps.limit);
    const request = {
      method: 'GET',
      path: pathOf(target),
      headers: sharedFileHeaders(req.headers, token.value),
    } as const;
    const { outcome } = await forward(deps, request, { kind: 'download', bearer, isTelling: false }, exchange);
    await respond(outcome, req, res, exchange, deps);
  };

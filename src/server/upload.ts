import { beginsAsPicture } from '../policy/file-type.ts';
import { enforce } from '../policy/decision.ts';
import { checkForm, maxBodyBytes, type SizePolicy } from '../policy/size.ts';
import { upstreamPath } from '../policy/target.ts';
import { uploadHeaders } from '../upstream/headers.ts';
import { admit } from './admit.ts';
import { authorize, type AuthorizePolicy } from './authorize.ts';
import { letContinue } from './edge.ts';
import { forward, type ForwardDeps } from './forward.ts';
import { limit, type LimitRules } from './limit.ts';
import { inspect, type InspectDeps } from './inspect.ts';
import { learnUpload } from './learn-upload.ts';
import type { Witness } from './movement.ts';
import { open, readApp } from './open.ts';
import { atOurPlace } from './public-url.ts';
import { recognise } from './recognise.ts';
import { respond, type RespondDeps } from './respond.ts';
import type { Handler } from './serve.ts';
import { takeBody, type TakeDeps } from './take-body.ts';
import type { Warmer } from './warm.ts';

/** What an upload needs on its way. */
export type UploadDeps = RespondDeps &
  ForwardDeps &
  TakeDeps &
  InspectDeps & {
    witness: Witness;
    authorize: AuthorizePolicy;
    size: SizePolicy;
    limit: LimitRules;
    /** The address by which clients reach the gateway, where they do not say it themselves. */
    publicUrl: string | undefined;
    /** Where thumbnails are fetched ahead, if they are. */
    warmer: Warmer | undefined;
  };

/** POST …/chatfiles: the body is taken in whole and judged, then sent with a known length, byte for byte as it came. */
export const upload =
  (deps: UploadDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'upload';
    const movement = deps.witness.begin(exchange, { direction: 'up', app: readApp(req) });
    const { target } = open(req);
    const token = authorize(req, target, deps.authorize, exchange);
    const { announcedBytes, watch } = admit(req, deps.size, 'file', movement.content);
    const bearer = await recognise(deps.access, exchange, token);
    await limit(req, res, exchange, token.value, deps.limit);
    letContinue(req, res);
    const limits = { announcedBytes, maxBytes: maxBodyBytes(deps.size), watch };
    await using taken = await takeBody(req, limits, exchange, deps);
    enforce(checkForm(taken.body.bytes, watch.fileBytes, deps.size));
    await inspect(watch, taken.body, target, exchange, deps);
    const request = {
      method: 'POST',
      path: upstreamPath(target),
      headers: uploadHeaders(req.headers, token.value),
      body: taken.body,
    } as const;
    const forwarded = await forward(deps, request, { kind: 'upload', bearer }, exchange);
    const { outcome, files } = await learnUpload(forwarded, bearer, deps);
    movement.files = files.map(({ uuid }) => uuid);
    if (exchange.wouldDeny === undefined && beginsAsPicture(watch.fileHead)) {
      for (const { uuid: file, secret } of files) {
        deps.warmer?.add({ bearer, file, secret, path: upstreamPath({ ...target, file, query: '' }) });
      }
    }
    await respond(atOurPlace(outcome, req, deps.publicUrl), req, res, exchange, deps);
  };

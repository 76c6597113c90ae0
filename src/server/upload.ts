import type { Request } from 'express';
import type { Clock } from '../clock.ts';
import type { SizePolicy } from '../policy/size.ts';
import { beginsAsPicture } from '../policy/file-type.ts';
import { maxBodyBytes } from '../policy/size.ts';
import { upstreamPath } from '../policy/target.ts';
import { uploadHeaders } from '../upstream/headers.ts';
import type { Outcome } from '../upstream/send.ts';
import type { Spool } from '../upstream/spool.ts';
import { admit } from './admit.ts';
import { authorize, type AuthorizePolicy } from './authorize.ts';
import { letContinue } from './edge.ts';
import { forward, type ForwardDeps } from './forward.ts';
import { limit, type LimitRules } from './limit.ts';
import { learnUpload } from './learn-upload.ts';
import { open } from './open.ts';
import { publicOrigin, withOrigin } from './public-url.ts';
import { recognise } from './recognise.ts';
import { respond, type RespondDeps } from './respond.ts';
import type { Handler } from './serve.ts';
import type { Warmer } from './warm.ts';

/** What an upload needs on its way. */
export type UploadDeps = RespondDeps &
  ForwardDeps & {
    clock: Clock;
    authorize: AuthorizePolicy;
    size: SizePolicy;
    /** ms without a byte, and ms for the whole body. */
    body: { idleMs: number; totalMs: number };
    spool: Spool;
    limit: LimitRules;
    /** The address by which clients reach the gateway, where they do not say it themselves. */
    publicUrl: string | undefined;
    /** Where thumbnails are fetched ahead, if they are. */
    warmer: Warmer | undefined;
  };

/** The answer with the gateway's address in the place of the upstream's. */
function atOurPlace(outcome: Outcome, req: Request, publicUrl: string | undefined): Outcome {
  if (outcome.kind !== 'answer' || outcome.whole === undefined) return outcome;
  const origin = publicOrigin(req, publicUrl);
  return origin === undefined ? outcome : { ...outcome, whole: withOrigin(outcome.whole, origin) };
}

/** POST …/chatfiles: the body is taken in whole and judged, then sent with a known length, byte for byte as it came. */
export const upload =
  (deps: UploadDeps): Handler =>
  async (req, res, exchange) => {
    exchange.route = 'upload';
    const { target } = open(req);
    const token = authorize(req, target, deps.authorize, exchange);
    const { announcedBytes, watch } = admit(req, deps.size);
    const bearer = await recognise(deps.access, exchange, token);
    await limit(req, res, exchange, token.value, deps.limit);
    letContinue(req, res);
    const body = await deps.spool.take(req, {
      ...(announcedBytes === undefined ? {} : { announcedBytes }),
      maxBytes: maxBodyBytes(deps.size),
      watch,
      ...deps.body,
      clock: deps.clock,
      signal: exchange.signal,
    });
    try {
      exchange.bytesIn = body.bytes;
      const request = {
        method: 'POST',
        path: upstreamPath(target),
        headers: uploadHeaders(req.headers, token.value),
        body,
      } as const;
      const forwarded = await forward(deps, request, { kind: 'upload', bearer }, exchange);
      const { outcome, files } = await learnUpload(forwarded, bearer, deps);
      if (beginsAsPicture(watch.fileHead)) {
        for (const { uuid: file, secret } of files) {
          deps.warmer?.add({ bearer, file, secret, path: upstreamPath({ ...target, file, query: '' }) });
        }
      }
      await respond(atOurPlace(outcome, req, deps.publicUrl), req, res, exchange, deps);
    } finally {
      await body.release();
    }
  };

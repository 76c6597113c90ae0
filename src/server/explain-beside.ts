import type { IncomingHttpHeaders } from 'node:http';
import type { Sibling } from '../policy/passthrough.ts';
import { maxBodyBytes } from '../policy/size.ts';
import { admitBody } from './admit.ts';
import { authorizeApp, authorizeBearer } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { oneOf, step, tellReported, type Walk } from './explain-steps.ts';
import { METHODS_BESIDE } from './methods.ts';
import { identify, refuseAgain } from './recognise.ts';

/** Explains a request for a path beside the files: what its body says of it, and what it is for, Easemob alone judges. */
export function walkBeside(at: Walk, target: Sibling, exchange: Exchange): 'upstream' {
  const { question, deps } = at;
  const { kind, app } = target;
  const { method, headers } = question;
  step(
    at,
    'method',
    () => oneOf(method, METHODS_BESIDE[kind]),
    () => method,
  );
  const req = { headers } as { headers: IncomingHttpHeaders };
  if (app) {
    const isListed = () => authorizeApp(app, deps.authorize, exchange);
    step(at, 'app', isListed, () => `${app.org}/${app.app}`);
  }
  if (kind !== 'token') {
    const token = step(
      at,
      'token',
      () => authorizeBearer(req, deps.authorize, exchange),
      (read) => `a token of the layout "${read.layout}", kind "${read.kind}"`,
    );
    const bearer = identify(deps.access, exchange.app ?? '', token);
    step(
      at,
      'earlier refusals',
      () => refuseAgain(deps.access, bearer),
      () => 'Easemob has not refused these credentials lately',
    );
  }
  tellReported(at, exchange);
  if (method !== 'GET' && method !== 'HEAD') {
    const isForm = kind === 'share-files' || (kind === 'part-upload' && method === 'PUT');
    const maxBytes = kind === 'token' ? deps.siblings.maxLoginBytes : deps.siblings.maxBytes;
    step(
      at,
      'size',
      () => admitBody(req, isForm ? maxBodyBytes(deps.size) : maxBytes),
      (bytes) => (bytes === undefined ? 'a body of which no size is announced' : `a body of ${bytes} bytes`),
    );
  }
  const says = 'it goes upstream, where its own limits and what its body holds allow; Easemob decides';
  at.steps.push({ step: 'beside the files', verdict: 'open', says });
  return 'upstream';
}

import { preflightAnswer } from './cors.ts';
import { ApiError } from './errors.ts';
import type { Handler } from './exchange.ts';
import { appTargetOf } from './target.ts';

/** One handler for each interface. */
export type Handlers = { upload: Handler; download: Handler; token: Handler; users: Handler };

/** Every path that there is, with its handlers by method. */
const table = ({ upload, download, token, users }: Handlers): Record<string, Record<string, Handler>> => ({
  chatfiles: { POST: upload },
  'chatfiles/{uuid}': { GET: download, HEAD: download },
  token: { POST: token },
  users: { POST: users },
});

/** Finds a request's handler; a preflight is answered whatever it is for. */
export function createRoutes(handlers: Handlers): Handler {
  const paths = new Map(Object.entries(table(handlers)));

  return (exchange) => {
    const { req, target } = exchange;
    if (req.method === 'OPTIONS') return preflightAnswer(req.headers);
    const within = appTargetOf(target);
    const path = within && paths.get(within.id === undefined ? within.collection : `${within.collection}/{uuid}`);
    if (path === undefined) throw new ApiError('PATH_UNKNOWN');
    const handler = new Map(Object.entries(path)).get(req.method ?? '');
    if (handler === undefined)
      throw new ApiError('METHOD_UNKNOWN', { headers: { allow: Object.keys(path).join(', ') } });
    return handler(exchange);
  };
}

import type { Apps } from './apps.ts';
import { ApiError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { appTargetOf } from './target.ts';

/** The app that a request is for, with its uuid; refuses one that does not exist. */
export function requireApp(exchange: Exchange, apps: Apps) {
  const within = appTargetOf(exchange.target);
  if (within === undefined) throw new ApiError('PATH_UNKNOWN');
  const { org, app, id } = within;
  return { org, app, id, application: apps.require(org, app, exchange.target.segments.join('/')) };
}

import type { Request, Response } from 'express';
import { GatewayError } from '../errors.ts';
import { isRedirect, readLocation } from '../upstream/redirects.ts';
import type { Outcome } from '../upstream/send.ts';
import { publicOrigin } from './public-url.ts';

/** Whether redirects are handed to clients, which upstream they come from, and how clients reach the gateway. */
export type PassRules = { passes: boolean; upstream: string; publicUrl: string | undefined };

/**
 * Hands a download's redirect on, and tells whether it did. One that leads to the upstream itself leads to us instead,
 * or the next request would go around the gateway; any other leaves it, which is what this is for.
 */
export function passRedirect(
  { status, body, release }: Extract<Outcome, { kind: 'answer' }>,
  req: Request,
  res: Response,
  { passes, upstream, publicUrl }: PassRules,
): boolean {
  if (!passes || req.method === 'POST' || !isRedirect(status)) return false;
  const location = readLocation(body.rawHeaders);
  const goal = location === undefined ? null : URL.parse(location, new URL(req.originalUrl, upstream));
  body.destroy();
  release();
  if (!goal || !/^https?:$/.test(goal.protocol) || goal.username !== '' || goal.password !== '')
    throw new GatewayError('UPSTREAM_REDIRECT', { reason: 'a redirect without a readable Location' });
  res.statusCode = status;
  res.setHeader('Location', placeOf(goal, location ?? '', upstream, publicOrigin(req, publicUrl)));
  // What it leads to is often signed, for a while and for one.
  res.setHeader('Cache-Control', 'no-store');
  res.setHeader('Content-Length', 0);
  res.end();
  return true;
}

function placeOf(goal: URL, location: string, upstream: string, ours: string): string {
  // By whatever scheme: the same name is the same API.
  if (goal.host === new URL(upstream).host) return `${ours}${goal.pathname}${goal.search}${goal.hash}`;
  // A signature may hang on every byte.
  return /^https?:\/\//i.test(location) ? location : goal.href;
}

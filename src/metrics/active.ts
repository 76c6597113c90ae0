import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Series } from './series.ts';

/** What answers requests. */
export type Answers = (req: IncomingMessage, res: ServerResponse) => void;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'other'] as const;

/** Counts the requests that are being answered: gives a wrapper around whatever answers them. */
export function countActive(series: Series): (answers: Answers) => Answers {
  const active = new Map<string, number>(METHODS.map((method) => [method, 0]));
  series.readGauge('http_server_active_requests', 'Requests that are being answered.', ['http_request_method'], () =>
    [...active].map(([method, count]) => [{ http_request_method: method }, count] as const),
  );
  const change = (method: string, by: number) => active.set(method, (active.get(method) ?? 0) + by);
  return (answers) => (req, res) => {
    const method = req.method !== undefined && active.has(req.method) ? req.method : 'other';
    change(method, 1);
    res.once('close', () => change(method, -1));
    answers(req, res);
  };
}

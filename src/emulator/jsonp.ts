import type { Answer } from './exchange.ts';

// What can be called; anything else is no callback, so that an answer cannot be turned into other script.
const CALLABLE = /^[\w$.[\]]{1,100}$/;

/** A JSON answer as a script that calls `callback`: always a 200, errors too, since a script tag sees no status. */
export function asScript(answer: Answer, callback: string | null): Answer {
  if (callback === null || !CALLABLE.test(callback) || !Buffer.isBuffer(answer.body)) return answer;
  if (!String(answer.headers['content-type']).startsWith('application/json')) return answer;
  return {
    status: 200,
    headers: { ...answer.headers, 'content-type': 'application/javascript;charset=UTF-8' },
    body: Buffer.concat([Buffer.from(`${callback}(`), answer.body, Buffer.from(')')]),
  };
}

import type { Clock } from '../clock.ts';
import type { Notice } from '../notice.ts';
import { sparingly } from './sparingly.ts';

/** Tells of wrong operator's tokens on the second port: somebody guesses, or a script has an old one. */
export function createGuessWatch(notice: Notice, clock: Pick<Clock, 'monotonic'>): (peer: string) => void {
  const tell = sparingly(clock);
  return (peer) =>
    tell('guess', (alsoSinceTheLast) => {
      const more = alsoSinceTheLast > 0 ? { alsoSinceTheLast } : {};
      notice('warn', "a request to the second port had a token that is not the operator's (admin.token)", {
        peer,
        ...more,
      });
    });
}

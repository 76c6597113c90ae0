import type { Clock } from '../clock.ts';

/** A running task that others may wait for. `about` is the caller's own note on who may. */
export type Flight<Value, About> = {
  readonly about: About;
  readonly startedAt: number;
  readonly result: Promise<Value>;
};

/** Tasks that run once for all who want the same at the same time. */
export type Flights<Value, About> = AsyncDisposable & {
  /** Runs a task. It goes on when whoever began it has left; its signal aborts only when all flights are disposed of. */
  start(key: string, about: About, task: (signal: AbortSignal) => Promise<Value>): Flight<Value, About>;
  /** The flight that runs for a key, unless it is too old to be joined. */
  find(key: string): Flight<Value, About> | undefined;
  /** Waits for a flight's result, or rejects with the reason of the joiner's own signal; the flight notices neither. */
  join(flight: Flight<Value, About>, signal: AbortSignal): Promise<Value>;
  /** Flights that run now, those included that newer ones have replaced. */
  readonly running: number;
};

/** How old a flight may be, in ms, and still be joined: one that hangs must not take everybody along. */
export type FlightsOptions = { maxAgeMs: number };

/**
 * Opens an air space without flights.
 *
 * It has no bounds of its own: each flight and each joiner stands for a request of the caller, so whatever bounds these
 * (connections, the queue for upstream slots) bounds the flights. One who leaves frees its place as a joiner at once; a
 * flight frees its own when its task ends, so a task must have a deadline.
 */
export function createFlights<Value, About>({ maxAgeMs }: FlightsOptions, clock: Clock): Flights<Value, About> {
  const latest = new Map<string, Flight<Value, About>>();
  const running = new Set<Flight<Value, About>>();
  const closing = new AbortController();

  return {
    start(key, about, task) {
      const result = (async () => task(closing.signal))();
      const flight = { about, startedAt: clock.monotonic(), result };
      latest.set(key, flight);
      running.add(flight);
      const land = () => {
        running.delete(flight);
        // A newer one may have replaced it.
        if (latest.get(key) === flight) latest.delete(key);
      };
      // The failure belongs to those who wait; when nobody does, it is nobody's.
      result.then(land, land);
      return flight;
    },
    find(key) {
      const flight = latest.get(key);
      return flight && clock.monotonic() - flight.startedAt < maxAgeMs ? flight : undefined;
    },
    join: ({ result }, signal) => unlessAborted(result, signal),
    get running() {
      return running.size;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.allSettled([...running].map(({ result }) => result));
    },
  };
}

/** Settles as a promise does, unless the signal aborts before; no listener is left behind on either way. */
function unlessAborted<Value>(result: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) return leave();
    signal.addEventListener('abort', leave, { once: true });
    const stay = () => signal.removeEventListener('abort', leave);
    result.then(stay, stay);
    result.then(resolve, reject);
  });
}

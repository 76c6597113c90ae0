/**
 * How the gateway is, as the second port tells it: the stage of its life, and the state of each of its components.
 *
 * 1. It takes requests (is *ready*) from when everything is open until it drains, unless a component has failed.
 * 2. A component that is degraded does not count against that: the gateway does without it, and says so. If replicas left
 *    the load balancer for want of the Redis that they share, they would all leave at once.
 * 3. What is required must have been well once before the start is over; later on it may be degraded like all others.
 */
import type { Clock } from './clock.ts';
import type { About, Notice } from './notice.ts';

/** How a component does. `degraded`: the gateway goes on without it; `failed`: it can answer nobody. */
export type State = { is: 'ok'; because?: string } | { is: 'degraded' | 'failed'; because: string };

/** The stages of a gateway's life. */
export type Stage = 'starting' | 'serving' | 'draining';

/** One component as it is told: its state, why, and since when (ms since the epoch). */
export type Check = { name: string; is: State['is']; because: string | undefined; since: number };

/** The whole of it, as told to whoever asks. */
export type Told = {
  status: 'starting' | 'ready' | 'degraded' | 'draining' | 'failed';
  /** Whether requests should be sent here. */
  isReady: boolean;
  /** Whether the start is over; it stays so. */
  hasStarted: boolean;
  checks: Check[];
};

/** Where components report, and where the second port reads. */
export type Health = {
  /** A component's state has changed, or is told again. */
  report(component: string, state: State): void;
  /** A component that is asked each time somebody wants to know; the returned function takes that back. */
  watch(component: string, read: () => State): () => void;
  /** Whether a component was last reported to be degraded. */
  isDegraded(component: string): boolean;
  /** A notice that also reports the state it is about. */
  hear(notice: Notice): Notice;
  /** Everything that must be open is open. */
  opened(): void;
  /** From now on no more requests should come. */
  drain(): void;
  readonly stage: Stage;
  tell(): Told;
};

/** The health of a gateway that is starting; `required` must be well once before the start is over. */
export function createHealth({ required = [] }: { required?: readonly string[] }, clock: Pick<Clock, 'now'>): Health {
  const startedAt = clock.now();
  const checks = new Map<string, Check>();
  const watched = new Map<string, () => State>();
  const missing = new Set(required);
  let isOpen = false;
  let isDraining = false;

  const note = (name: string, { is, because }: State) => {
    const before = checks.get(name);
    // Of one that is still as it was, the latest reason counts, and the first time.
    checks.set(name, { name, is, because, since: before?.is === is ? before.since : clock.now() });
    if (is === 'ok') missing.delete(name);
  };
  const stage = (): Stage => (isDraining ? 'draining' : isOpen && missing.size === 0 ? 'serving' : 'starting');

  const tell = (): Told => {
    for (const [name, read] of watched) note(name, read());
    const all = [...checks.values()];
    const absent = [...missing].map((name): Check => {
      const reason = /\((.+)\)$/s.exec(checks.get(name)?.because ?? '')?.[0] ?? '';
      const because = `the start waits for it, requests should not come before ${reason}`.trimEnd();
      return { name, is: 'failed', because, since: startedAt };
    });
    const told = [...all.filter(({ name }) => !missing.has(name)), ...absent];
    const has = (is: State['is']) => all.some((check) => check.is === is);
    const now = stage();
    const status = now !== 'serving' ? now : has('failed') ? 'failed' : has('degraded') ? 'degraded' : 'ready';
    return {
      status,
      isReady: status === 'ready' || status === 'degraded',
      hasStarted: isOpen && missing.size === 0,
      checks: told,
    };
  };

  return {
    report: note,
    watch(component, read) {
      watched.set(component, read);
      return () => {
        watched.delete(component);
        checks.delete(component);
      };
    },
    isDegraded: (component) => checks.get(component)?.is === 'degraded',
    hear: (notice) => (level, message, details, about) => {
      notice(level, message, details, about);
      if (about) note(about.component, stateOf(about, message, details));
    },
    opened: () => void (isOpen = true),
    drain: () => void (isDraining = true),
    get stage() {
      return stage();
    },
    tell,
  };
}

function stateOf({ is }: About, message: string, details: object | undefined): State {
  if (is === 'ok') return { is };
  const reason = details && 'reason' in details ? ` (${String(details.reason)})` : '';
  return { is, because: `${message}${reason}` };
}

/**
 * The room's front: who moved which file, one line each, in a stream of its own.
 *
 * Writing never waits and never fails: a line for which there is no room is lost, and how many were is told.
 */
import type { Clock } from '../clock.ts';
import type { LineSink } from '../logger.ts';
import type { Notice } from '../notice.ts';
import { type AuditSink, openAuditFile } from './audit-file.ts';
import type { AuditConfig } from './config.ts';
import { createFingerprint, type Fingerprint } from './fingerprint.ts';
import { type AuditEntry, auditLine } from './line.ts';

/** The audit log. */
export type Audit = AsyncDisposable & {
  /** Writes a line; `isMinor`: of a request that moved nothing, which must leave room to others. */
  write(entry: AuditEntry, isMinor?: boolean): void;
  fingerprint: Fingerprint;
  /** Begins with the file anew: whoever rotates it from outside has moved it away. */
  reopen(): void;
  /** Why lines cannot be written at the moment; undefined when they can. */
  readonly trouble: string | undefined;
  stats(): AuditStats;
};

/** How many lines went out, and how many were lost. */
export type AuditStats = { written: number; lost: number };

/** What the room needs besides its config: the key under which tokens are made unknowable, and the process's own streams. */
export type AuditDeps = {
  digestKey: string | undefined;
  streamOf: (name: 'stdout' | 'stderr') => LineSink;
  notice: Notice;
  clock: Clock;
};

/** How often lost lines are told of, in ms. */
const TELL_MS = 60_000;

/** Opens the audit log; undefined where none is wanted. */
export function createAudit(config: AuditConfig, deps: AuditDeps): Audit | undefined {
  const { to } = config;
  const { digestKey, notice, clock } = deps;
  if (to === 'off') return undefined;
  if (digestKey === undefined) notice('warn', UNKEYED);
  let [taken, lost, untold] = [0, 0, 0];
  let isQuiet = false;
  let cancelTell = () => {};
  const tellTrouble = () => {
    if (sink.trouble === undefined)
      notice('info', 'audit lines are written again', { to, lost }, { component: 'audit', is: 'ok' });
    else
      notice(
        'warn',
        `audit lines cannot be written to ${to} (${sink.trouble}): they wait, and those that find no room are lost`,
        {},
        { component: 'audit', is: 'degraded' },
      );
  };
  /** Tells of lost lines, and is then quiet for a while, after which it tells of those that were lost since. */
  const tellLost = () => {
    isQuiet = untold > 0;
    if (!isQuiet) return;
    notice('warn', 'audit lines were lost', { lines: untold, to, reason: sink.trouble ?? 'the disk is too slow' });
    untold = 0;
    cancelTell = clock.after(TELL_MS, tellLost);
  };
  const lose = (lines: number) => {
    lost += lines;
    untold += lines;
  };
  const sink: AuditSink =
    to === 'stdout' || to === 'stderr'
      ? streamSink(deps.streamOf(to))
      : openAuditFile({ ...config, path: to }, clock, () => tellTrouble());
  return {
    write(entry, isMinor = false) {
      if (sink.write(auditLine(entry, clock.now()), isMinor)) {
        taken += 1;
        return;
      }
      lose(1);
      if (!isQuiet) tellLost();
    },
    fingerprint: createFingerprint(digestKey),
    reopen: () => sink.reopen(),
    get trouble() {
      return sink.trouble;
    },
    stats: () => ({ written: taken - sink.waiting, lost }),
    async [Symbol.asyncDispose]() {
      await sink[Symbol.asyncDispose]();
      lose(sink.waiting);
      cancelTell();
      tellLost();
      cancelTell();
    },
  };
}

/** A stream of the process: it is written to at once, as the log is. */
const streamSink = (stream: LineSink): AuditSink => ({
  write(line) {
    stream.write(line);
    return true;
  },
  reopen() {},
  waiting: 0,
  trouble: undefined,
  async [Symbol.asyncDispose]() {},
});

const UNKEYED =
  'secrets.digestKey is not set: what stands for tokens in the audit log is another at each replica and after each start';

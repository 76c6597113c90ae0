import type { Apps } from './apps.ts';
import type { ArrivalCounts, Arrivals } from './arrivals.ts';
import type { Fault, Faults } from './faults.ts';
import type { FileStore } from './files.ts';
import type { Limiter, LimiterOptions } from './limiter.ts';
import type { Received, ReceivedRecord } from './record.ts';
import type { TokenLayout } from './token-layout.ts';
import type { Tokens } from './tokens.ts';

/** What may be chosen for a token that is issued without logging in. */
export type IssueTokenOptions = {
  username?: string | undefined;
  kind?: 'user' | 'app' | undefined;
  /** 0 or less makes a token that has expired already. */
  ttlSeconds?: number | undefined;
  layout?: TokenLayout | undefined;
};

/** What the emulator counts. */
export type EmulatorStats = ArrivalCounts & { storedFiles: number; storedBytes: number; users: number; tokens: number };

/** The switches behind the admin port, for use within the process. */
export type EmulatorControls = {
  /** A token as if somebody had logged in; registers the user if need be. */
  issueToken(org: string, app: string, options?: IssueTokenOptions): string;
  /** True when the token was one that held. */
  revokeToken(token: string): boolean;
  /** True when there was such a file. */
  forgetFile(uuid: string): boolean;
  expireFile(uuid: string): boolean;
  /** Throws when the fault is not one of those that there are. */
  fault(fault: Fault): void;
  faults(): Fault[];
  clearFaults(): void;
  /** Changes what is given; every allowance begins anew. */
  setLimiter(partial: Partial<LimiterOptions>): void;
  limiter(): LimiterOptions;
  received(): Received[];
  /** Also begins the counts of `stats` anew. */
  clearReceived(): void;
  stats(): EmulatorStats;
};

/** What the switches act on. */
export type ControlDeps = {
  apps: Apps;
  tokens: Tokens;
  limiter: Limiter;
  faults: Faults;
  record: ReceivedRecord;
  arrivals: Arrivals;
  files: FileStore;
};

/** Puts all switches on one board. */
export function createControls(deps: ControlDeps): EmulatorControls {
  const { apps, tokens, limiter, faults, record, arrivals, files } = deps;

  const findOrRegister = (org: string, app: string, username: string) =>
    apps.find(org, app, username) ?? apps.register({ org, app, username, password: username });

  return {
    issueToken(org, app, { username = 'someone', kind = 'user', ttlSeconds, layout } = {}) {
      const application = apps.require(org, app, `${org}/${app}/token`);
      const user = kind === 'app' ? undefined : findOrRegister(org, app, username);
      const principal = { kind, org, app, application, uuid: user?.uuid ?? application };
      return tokens.issue(principal, { ttlSeconds, layout }).token;
    },
    revokeToken: (token) => tokens.revoke(token),
    forgetFile: (uuid) => files.forget(uuid),
    expireFile: (uuid) => files.expire(uuid),
    fault: (fault) => faults.add(fault),
    faults: () => faults.list(),
    clearFaults: () => faults.clear(),
    setLimiter: (partial) => limiter.set(partial),
    limiter: () => limiter.options,
    received: () => record.list(),
    clearReceived() {
      record.clear();
      arrivals.clear();
    },
    stats() {
      const { files: storedFiles, bytes: storedBytes } = files.usage();
      return { ...arrivals.counts(), storedFiles, storedBytes, users: apps.userCount, tokens: tokens.count };
    },
  };
}

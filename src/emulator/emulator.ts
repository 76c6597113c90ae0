import { createAdmin } from './admin.ts';
import { createApps } from './apps.ts';
import { createArrivals } from './arrivals.ts';
import type { ArrivalCounts } from './arrivals.ts';
import { createDownload } from './download.ts';
import { createFaults } from './faults.ts';
import type { Fault } from './faults.ts';
import { createFileStore } from './files.ts';
import { createLimiter } from './limiter.ts';
import type { LimiterOptions } from './limiter.ts';
import { listen } from './listen.ts';
import { PAGE_DEFAULTS } from './options.ts';
import type { EmulatorInput } from './options.ts';
import { createRecord } from './record.ts';
import type { Received } from './record.ts';
import { createRoutes } from './routes.ts';
import { createServe } from './serve.ts';
import { createThumbnails } from './thumbnail.ts';
import { createTokenEndpoint } from './token-endpoint.ts';
import type { TokenLayout } from './token-layout.ts';
import { createTokens } from './tokens.ts';
import { createUpload } from './upload.ts';
import { createUsersEndpoint } from './users-endpoint.ts';

export type { Fault } from './faults.ts';
export type { LimiterOptions } from './limiter.ts';
export type { EmulatorInput, EmulatorOptions } from './options.ts';
export type { Received } from './record.ts';
export type { TokenLayout } from './token-layout.ts';

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

/** A running emulator; disposing of it closes its ports and removes its files. */
export type Emulator = AsyncDisposable & EmulatorControls & { url: string; adminUrl: string };

/** Starts the emulated cloud, and its admin port. What opens here is closed in the reverse order, also when starting fails halfway. */
export async function createEmulator(input: EmulatorInput = {}): Promise<Emulator> {
  const options = { ...PAGE_DEFAULTS, ...input, storage: { ...PAGE_DEFAULTS.storage, ...input.storage } };
  const { now, host, keepAliveMs } = options;
  await using opening = new AsyncDisposableStack();

  const apps = createApps(options);
  const tokens = createTokens({ ttlSeconds: options.tokenTtlSeconds, layout: options.tokenLayout }, now);
  const limiter = createLimiter(input.limiter ?? {}, now);
  const faults = createFaults(now);
  const record = createRecord(options.recordSize);
  const arrivals = createArrivals();
  const files = opening.use(await createFileStore(options));
  const thumbnails = createThumbnails(files, options.thumbnailFloorBytes);

  const controls: EmulatorControls = {
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

  const findOrRegister = (org: string, app: string, username: string) =>
    apps.find(org, app, username) ?? apps.register({ org, app, username, password: username });

  const handler = createRoutes({
    upload: createUpload({ apps, tokens, files, options }),
    download: createDownload({ apps, tokens, files, thumbnails, options }),
    token: createTokenEndpoint(apps, tokens),
    users: createUsersEndpoint(apps, now),
  });
  const serve = createServe({ handler, limiter, faults, record, arrivals, options });
  const api = opening.use(await listen({ host, port: options.port, keepAliveMs, onRequest: serve }));
  const onRequest = createAdmin(controls);
  const admin = opening.use(await listen({ host, port: options.adminPort, keepAliveMs, onRequest }));

  const open = opening.move();
  return { ...controls, url: api.url, adminUrl: admin.url, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

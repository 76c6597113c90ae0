import type { LimiterOptions } from './limiter.ts';
import type { TokenLayout } from './token-layout.ts';

/** A user that exists from the start. */
export type ConfiguredUser = {
  org: string;
  app: string;
  username: string;
  password: string;
  /** A user that is not activated gets no token. */
  activated?: boolean | undefined;
};

/** The client id and secret that an app's server logs in with. */
export type ConfiguredClient = { org: string; app: string; clientId: string; clientSecret: string };

/** Everything about the emulator that can be chosen when it starts. */
export type EmulatorOptions = {
  host: string;
  /** 0 takes any free port. */
  port: number;
  adminPort: number;
  /** `'any'`, or the apps that exist, each as `org/app`. */
  apps: 'any' | string[];
  users: ConfiguredUser[];
  /** `'any'` takes every client id and secret that are not empty. */
  clients: 'any' | ConfiguredClient[];
  tokenTtlSeconds: number;
  tokenLayout: TokenLayout;
  maxFileBytes: number;
  restrictAccessBy: 'presence' | 'value';
  thumbnailBy: 'presence' | 'value';
  wrongSecretStatus: 403 | 401;
  /** `'withSecret'`: a restricted file goes to whoever has its secret, also without a token, as to the tags of web pages. */
  anonymousDownloads: 'refuse' | 'withSecret';
  /** The box that thumbnails fit into unless the upload names another. */
  thumbnailBox: { width: number; height: number };
  /** Images of at most so many bytes are their own thumbnail. */
  thumbnailFloorBytes: number;
  limiter: LimiterOptions;
  fileLifetimeSeconds: number;
  /** `dir` is the folder in which the emulator makes its temporary one. */
  storage: { maxBytes: number; maxFiles: number; dir?: string };
  keepAliveMs: number;
  /** How many received requests are remembered. */
  recordSize: number;
  /** Whether uploads are hashed for the record; switched off to save the time in a benchmark. */
  hashUploads: boolean;
  /** Milliseconds since the epoch, for tokens, files and the limiter. */
  now: () => number;
};

/** What may be given of the options; the rest is as the page says. */
export type EmulatorInput = Partial<Omit<EmulatorOptions, 'limiter' | 'storage'>> & {
  limiter?: Partial<LimiterOptions>;
  storage?: Partial<EmulatorOptions['storage']>;
};

const MEBIBYTE = 1024 * 1024;
const WEEK_SECONDS = 7 * 24 * 60 * 60;

/** The behaviour that the page describes. */
export const PAGE_DEFAULTS: Omit<EmulatorOptions, 'limiter'> = {
  host: '127.0.0.1',
  port: 0,
  adminPort: 0,
  apps: 'any',
  users: [],
  clients: 'any',
  tokenTtlSeconds: WEEK_SECONDS,
  tokenLayout: 'short',
  maxFileBytes: 10 * MEBIBYTE,
  restrictAccessBy: 'presence',
  thumbnailBy: 'presence',
  wrongSecretStatus: 403,
  anonymousDownloads: 'refuse',
  thumbnailBox: { width: 170, height: 170 },
  thumbnailFloorBytes: 10 * 1024,
  fileLifetimeSeconds: WEEK_SECONDS,
  storage: { maxBytes: 1024 * MEBIBYTE, maxFiles: 100_000 },
  keepAliveMs: 5_000,
  recordSize: 10_000,
  hashUploads: true,
  // The epoch's time that never goes back and has fractions: a limiter that rounds to milliseconds is off by one.
  now: () => performance.timeOrigin + performance.now(),
};

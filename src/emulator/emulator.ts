import { createAdmin } from './admin.ts';
import { createApps } from './apps.ts';
import { createArrivals } from './arrivals.ts';
import { createControls } from './controls.ts';
import type { EmulatorControls } from './controls.ts';
import { createDownload } from './download.ts';
import { createFaults } from './faults.ts';
import { createFileStore } from './files.ts';
import { createLimiter } from './limiter.ts';
import { listen } from './listen.ts';
import { PAGE_DEFAULTS } from './options.ts';
import type { EmulatorInput } from './options.ts';
import { createRecord } from './record.ts';
import { createRoutes } from './routes.ts';
import { createServe } from './serve.ts';
import { createThumbnails } from './thumbnail.ts';
import { createTokenEndpoint } from './token-endpoint.ts';
import { createTokens } from './tokens.ts';
import { createUpload } from './upload.ts';
import { createUsersEndpoint } from './users-endpoint.ts';

export type { EmulatorControls, EmulatorStats, IssueTokenOptions } from './controls.ts';
export type { Fault } from './faults.ts';
export type { LimiterOptions } from './limiter.ts';
export type { EmulatorInput, EmulatorOptions } from './options.ts';
export type { Received } from './record.ts';
export type { TokenLayout } from './token-layout.ts';

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

  const controls = createControls({ apps, tokens, limiter, faults, record, arrivals, files });
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

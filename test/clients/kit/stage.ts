import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { APP, ORG } from '../../kit/easemob.ts';
import { type Running, type RunOptions, startGateway } from '../../kit/gateway.ts';
import { type ChatSocket, startChatSocket } from './chat-socket.ts';
import type { Device, SentFile } from './device.ts';
import { type PageServer, startPageServer } from './page-server.ts';
import type { Sdk } from './sdks.ts';

/** A place where SDKs run. */
export type Place = AsyncDisposable & {
  /** Opens a device that loads the page of this origin. */
  open(sdk: Sdk, origin: string): Promise<Device>;
};

/** What an app has: its page, and two people with a device each. */
export type Stage = AsyncDisposable & { sdk: Sdk; pages: PageServer; ann: Device; bob: Device };

/** One test's servers: the gateway, the upstream behind it, and Easemob's chat connection. */
export type Scene = Running & { chat: ChatSocket };

/** Builds it for one SDK in one place. */
export async function openStage(sdk: Sdk, place: Place): Promise<Stage> {
  await using opening = new AsyncDisposableStack();
  const pages = opening.use(await startPageServer(sdk));
  opening.use(place);
  const ann = await place.open(sdk, pages.origin);
  const bob = await place.open(sdk, pages.origin);
  const open = opening.move();
  return { sdk, pages, ann, bob, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Starts the servers for one test; pages of the stage's origin may read the gateway's answers. */
export async function setScene({ sdk, pages }: Stage, { set = [], ...options }: RunOptions = {}): Promise<Scene> {
  const chat = await startChatSocket(sdk);
  onTestFinished(() => chat[Symbol.asyncDispose]());
  return { ...(await startGateway({ set: [`cors.origins=${pages.origin}`, ...set], ...options })), chat };
}

/** Logs somebody in, for one test. */
export async function logIn(device: Device, user: string, { gateway, emulator, chat }: Scene): Promise<void> {
  const token = emulator.issueToken(ORG, APP, { username: user });
  const { error } = await device.login({ ...connectionTo(gateway.url, chat), user, token });
  if (error) throw new Error(`no login: ${JSON.stringify(error)}`);
  onTestFinished(() => device.logout());
}

/** All that an app changes of its connection's settings. */
export const connectionTo = (apiUrl: string, chat: ChatSocket) => ({
  appKey: `${ORG}#${APP}`,
  apiUrl,
  socketUrl: chat.url,
});

const SAMPLE = fileURLToPath(new URL('../../../samples/picture.jpg', import.meta.url));

/** A photograph, 1600 × 1200. */
export const photograph = (): SentFile & { base64: string } => ({
  filename: 'lake.jpg',
  type: 'image/jpeg',
  base64: readFileSync(SAMPLE).toString('base64'),
});

/** A file of this size, whatever is in it. */
export const fileOfSize = (bytes: number): SentFile => ({ filename: 'large.jpg', type: 'image/jpeg', bytes });

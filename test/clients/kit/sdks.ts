import { createRequire } from 'node:module';

/** A published web SDK: its bundle, and how its chat connection travels. */
export type Sdk = {
  name: string;
  bundle: string;
  /** `sockjs`: the older way, text frames in base64 behind a handshake of its own. */
  transport: 'websocket' | 'sockjs';
  /** Whether it reads the status of an answer; older ones take any download for the file. */
  readsStatus: boolean;
  /** Whether an app is told of an upload without an answer; agora-chat's own handler calls itself until the stack is full. */
  tellsOfLostUploads: boolean;
};

const require = createRequire(import.meta.url);
const bundleOf = (name: string, file: string) => require.resolve(`${name}/${file}`);

/** The web SDKs that are driven here, the newest first. */
export const SDKS: readonly Sdk[] = [
  {
    name: 'easemob-websdk 4.21.1',
    bundle: bundleOf('easemob-websdk', 'Easemob-chat.js'),
    transport: 'websocket',
    readsStatus: true,
    tellsOfLostUploads: true,
  },
  {
    name: 'agora-chat 1.4.0',
    bundle: bundleOf('agora-chat', 'Agora-chat.js'),
    transport: 'websocket',
    readsStatus: true,
    tellsOfLostUploads: false,
  },
  {
    name: 'easemob-websdk 4.8.1',
    bundle: bundleOf('easemob-websdk-4.8', 'Easemob-chat.js'),
    transport: 'sockjs',
    readsStatus: false,
    tellsOfLostUploads: true,
  },
];

/**
 * Makes docs/sdk-picture.png: a page with Easemob's web SDK, and in it a picture that came through the gateway.
 * Run it with `node test/clients/screenshot.ts`; it needs chromium, and nothing outside this machine.
 */
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { loadConfig } from '../../src/config.ts';
import { createEmulator } from '../../src/emulator/emulator.ts';
import { createGateway } from '../../src/gateway.ts';
import type { Summary } from '../../src/server/summarize.ts';
import { APP, ORG } from '../kit/easemob.ts';
import { browserPlace, startBrowser } from './kit/browser.ts';
import { startChatSocket } from './kit/chat-socket.ts';
import { startPageServer } from './kit/page-server.ts';
import { SDKS } from './kit/sdks.ts';
import { connectionTo, photograph } from './kit/stage.ts';

const TARGET = fileURLToPath(new URL('../../docs/sdk-picture.png', import.meta.url));
const SIZE = { width: 1040, height: 620 };

const [sdk] = SDKS;
if (sdk === undefined) throw new Error('no SDK');
await using opened = new AsyncDisposableStack();
const pages = opened.use(await startPageServer(sdk));
const chat = opened.use(await startChatSocket(sdk));
const emulator = opened.use(await createEmulator({ anonymousDownloads: 'withSecret' }));
const seen: Summary[] = [];
const { config } = await loadConfig({
  env: {},
  set: [
    'listen.port=0',
    'admin.port=0',
    `upstream.url=${emulator.url}`,
    `cors.origins=${pages.origin}`,
    'tokens.anonymousDownloads=withSecret',
  ],
});
const gateway = opened.use(await createGateway(config, { record: (summary) => void seen.push(summary) }));
const browser = await startBrowser();
opened.defer(() => browser.close());
const place = opened.use(browserPlace(browser, { viewport: SIZE }));

const group = `${pages.origin}/group.html`;
const [ann, bob, eve] = [await place.open(sdk, group), await place.open(sdk, group), await place.open(sdk, group)];
for (const [device, user] of [
  [ann, 'ann'],
  [bob, 'bob'],
  [eve, 'eve'],
] as const) {
  const token = emulator.issueToken(ORG, APP, { username: user });
  await device.login({ ...connectionTo(gateway.url, chat), user, token });
}
const thumbnail = { width: 360, height: 360 };
await ann.sendPicture({ to: 'lake-house', chatType: 'groupChat', file: photograph(), thumbnail });
for (const device of [bob, eve]) {
  const { thumb } = await device.nextPicture();
  const shown = await device.show({ url: thumb, into: '#picture .frame' });
  if ('broken' in shown) throw new Error('the picture did not come');
  if (device === bob) await bob.download({ url: thumb.replace('&thumbnail=true', '') });
}

const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KB`;
const told = ({ route, bytesIn, bytesOut, cache }: Summary): string => {
  if (route === 'upload') return `Ann’s photograph, ${kilobytes(bytesIn)}`;
  if (route === 'download') return `the whole, saved by Bob, ${kilobytes(bytesOut)}`;
  return cache?.includes('; hit')
    ? `Eve’s <img>, ${kilobytes(bytesOut)} from memory`
    : `Bob’s <img>, no token, ${kilobytes(bytesOut)}`;
};
const rows = seen
  .filter(({ route }) => route !== 'preflight')
  .map((summary) => ({ what: `${summary.method} ${summary.route}`, status: summary.status, told: told(summary) }));
const where = `${sdk.name} with apiUrl: '${gateway.url}'`;
const answered = emulator.received().filter(({ status }) => status === 200).length;
const total = `Easemob saw ${answered} of these ${rows.length}.`;
await bob.page.evaluate(`tellAside(${JSON.stringify({ where, rows, total })})`);
const png = await bob.page.screenshot({ clip: { x: 0, y: 0, ...SIZE } });
// A palette is enough for it, and makes it a third.
const { size } = await sharp(png).png({ palette: true, colours: 160, dither: 0.7, effort: 10 }).toFile(TARGET);
process.stdout.write(`docs/sdk-picture.png: ${SIZE.width}x${SIZE.height}, ${size} bytes\n`);

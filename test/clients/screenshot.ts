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
const SIZE = { width: 1040, height: 660 };

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
    ...['listen.port=0', 'admin.port=0', `upstream.url=${emulator.url}`],
    ...[`cors.origins=${pages.origin}`, 'tokens.anonymousDownloads=withSecret'],
  ],
});
const gateway = opened.use(await createGateway(config, { record: (summary) => void seen.push(summary) }));
const browser = await startBrowser();
opened.defer(() => browser.close());
const place = opened.use(browserPlace(browser, { viewport: SIZE }));

const [ann, bob] = [await place.open(sdk, pages.origin), await place.open(sdk, `${pages.origin}/group.html`)];
for (const [device, user] of [
  [ann, 'ann'],
  [bob, 'bob'],
] as const) {
  const token = emulator.issueToken(ORG, APP, { username: user });
  await device.login({ ...connectionTo(gateway.url, chat), user, token });
}
const thumbnail = { width: 360, height: 360 };
await ann.sendPicture({ to: 'lake-house', chatType: 'groupChat', file: photograph(), thumbnail });
const { url, thumb } = await bob.nextPicture();
const shown = await bob.show({ url: thumb, into: '#picture .picture' });
if ('broken' in shown) throw new Error('the picture did not come');
await bob.download({ url });

const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KB`;
const TOLD: Partial<Record<Summary['route'], (summary: Summary) => string>> = {
  preflight: () => 'may the page?',
  upload: ({ bytesIn }) => `Ann’s photograph, ${kilobytes(bytesIn)}`,
  thumbnail: ({ bytesOut }) => `in the <img> of Bob’s page, ${kilobytes(bytesOut)}`,
  download: ({ bytesOut }) => `saved by Bob with the SDK, ${kilobytes(bytesOut)}`,
};
const rows = seen.map((summary) => ({ ...summary, told: TOLD[summary.route]?.(summary) ?? '' }));
await bob.page.evaluate(
  `{
    const picture = document.querySelector('#picture .picture');
    picture.append(picture.querySelector('time'));
    document.querySelector('#where').textContent = ${JSON.stringify(`${sdk.name}, apiUrl: '${gateway.url}'`)};
    for (const { method, route, status, durationMs, told } of ${JSON.stringify(rows)}) {
      const row = document.createElement('li');
      const line = row.appendChild(document.createElement('span'));
      line.appendChild(document.createElement('em')).textContent = method + ' ' + route;
      line.appendChild(document.createElement('u')).textContent = status;
      row.appendChild(document.createElement('small')).textContent = told;
      document.querySelector('ol').append(row);
    }
  }`,
);
const png = await bob.page.screenshot({ clip: { x: 0, y: 0, ...SIZE } });
// A palette is enough for it, and makes it a third.
const { size } = await sharp(png).png({ palette: true, colours: 160, dither: 0.7, effort: 10 }).toFile(TARGET);
process.stdout.write(`docs/sdk-picture.png: ${SIZE.width}x${SIZE.height}, ${size} bytes\n`);

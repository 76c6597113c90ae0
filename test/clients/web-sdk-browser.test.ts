import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BrowserPlace, browserPlace, startBrowser } from './kit/browser.ts';
import { expectToldInDocs, recordRequests } from './kit/recording.ts';
import { SDKS } from './kit/sdks.ts';
import { logIn, openStage, photograph, type Scene, setScene, type Stage } from './kit/stage.ts';
import { webSdkContract } from './web-sdk.contract.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser.close());

webSdkContract('Chromium', () => browserPlace(browser), { isTold: true });

describe.each(SDKS)('a page with $name', (sdk) => {
  let place: BrowserPlace;
  let stage: Stage;
  beforeAll(async () => {
    place = browserPlace(browser);
    stage = await openStage(sdk, place);
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  it('speaks to nobody but its own site, the gateway and the chat connection', async () => {
    const scene = await setScene(stage);
    await logIn(stage.ann, 'ann', scene);
    await logIn(stage.bob, 'bob', scene);
    await stage.ann.sendPicture({ to: 'friends', chatType: 'groupChat', file: photograph() });
    const { url, secret } = await stage.bob.nextPicture();
    await stage.bob.download({ url, secret });
    expectOnly(place.asked(), scene);
  });

  it.each(sdk.tellsOfLostUploads ? [sdk] : [])(
    'gets nothing out of a gateway that does not know its site',
    async () => {
      const scene = await setScene(stage, { set: ['cors.origins=https://chat.example.com'] });
      await logIn(stage.ann, 'ann', scene);
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      expect(sent.sent).toBeUndefined();
      expect(sent.error).toMatchObject({ type: 101 });
      expect(scene.emulator.received()).toEqual([]);
    },
  );

  it('shows a picture in tags, which have no token: its thumbnail, and the whole', async () => {
    place.asked();
    const scene = await setScene(stage, {
      set: ['tokens.anonymousDownloads=withSecret'],
      emulator: { anonymousDownloads: 'withSecret' },
    });
    const requests = recordRequests(scene.gateway.url);
    await logIn(stage.ann, 'ann', scene);
    await logIn(stage.bob, 'bob', scene);
    const thumbnail = { width: 200, height: 200 };
    await stage.ann.sendPicture({ to: 'friends', chatType: 'groupChat', file: photograph(), thumbnail });
    const { url, thumb } = await stage.bob.nextPicture();
    expect(await stage.bob.show({ url: thumb })).toEqual({ width: 200, height: 150 });
    expect(await stage.bob.show({ url })).toEqual({ width: 1600, height: 1200 });
    const inTags = requests.filter(({ method }) => method === 'GET');

    // The next who looks costs the upstream nothing, and nobody was sent on to another place.
    const asked = scene.emulator.received().map(({ path }) => path);
    expect(await stage.ann.show({ url: thumb })).toEqual({ width: 200, height: 150 });
    expect(scene.emulator.received()).toHaveLength(asked.length);
    expect(asked.filter((path) => path.includes('em-redirect'))).toEqual([]);

    expect(await stage.bob.show({ url: thumb.replace(/secret=[^&]*/, 'secret=wrong') })).toEqual({ broken: true });
    expect(await stage.bob.show({ url: thumb.replace(/\?.*/, '') })).toEqual({ broken: true });
    expectOnly(place.asked(), scene);
    expectToldInDocs(`${sdk.name}, in tags`, inTags);
  });

  /** Whoever was asked from any page here was one of these, and the gateway was. */
  function expectOnly(asked: Set<string>, { gateway, chat }: Scene): void {
    expect(asked).toContain(gateway.url);
    expect([...asked].filter((origin) => ![stage.pages.origin, gateway.url, ...chat.origins].includes(origin))).toEqual(
      [],
    );
  }
});

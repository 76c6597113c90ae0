import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APP, ORG } from '../kit/easemob.ts';
import { expectToldInDocs, recordLookups, recordRequests } from './kit/recording.ts';
import { SDKS } from './kit/sdks.ts';
import {
  connectionTo,
  fileOfSize,
  logIn,
  openStage,
  type Place,
  photograph,
  setScene,
  type Stage,
} from './kit/stage.ts';

/** The codes of an SDK's errors, as its documentation names them. */
const CODE = { UPLOAD: 101, UPLOAD_OLD: 31, DOWNLOAD: 200, NO_PERMISSION: 222, SERVER: 503 } as const;

/** What a web SDK does through the gateway, wherever it runs; `isTold`: whether its requests stand in the docs. */
export function webSdkContract(where: string, openPlace: () => Place, { isTold = false } = {}): void {
  describe.each(SDKS)(`$name in ${where}`, (sdk) => {
    let stage: Stage;
    beforeAll(async () => {
      stage = await openStage(sdk, openPlace());
    });
    afterAll(() => stage[Symbol.asyncDispose]());

    it('sends a picture, and the other has it, byte for byte', async () => {
      const scene = await setScene(stage);
      const requests = recordRequests(scene.gateway.url);
      const names = recordLookups();
      await logIn(stage.ann, 'ann', scene);
      await logIn(stage.bob, 'bob', scene);

      const photo = photograph();
      const thumbnail = { width: 180, height: 90 };
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photo, thumbnail });
      expect(sent.error).toBeUndefined();
      expect(sent.complete).toMatchObject({ uri: `${scene.gateway.url}/${ORG}/${APP}/chatfiles` });
      expect(sent.sent?.serverMsgId).toMatch(/^\d+$/);

      const file = `${scene.gateway.url}/${ORG}/${APP}/chatfiles/${sent.complete?.entities[0].uuid}`;
      const secret = sent.complete?.entities[0]['share-secret'];
      expect(scene.chat.messages).toMatchObject([{ contents: [{ remotePath: file, secretKey: secret }] }]);

      const picture = await stage.bob.nextPicture();
      expect(picture).toMatchObject({ secret, width: 1600, height: 1200, file_length: atob(photo.base64).length });
      expect(new URL(picture.url).origin).toBe(scene.gateway.url);
      expect(picture.thumb).toBe(`${picture.url}&thumbnail=true`);
      const downloaded = await stage.bob.download({ url: picture.url, secret: picture.secret });
      expect(downloaded).toEqual({ base64: photo.base64, type: 'image/jpeg' });

      // The picture has an extent of its own: the form's fields went along.
      const small = await stage.bob.download({ url: picture.thumb, secret: picture.secret });
      expect(small.type).toBe('image/jpeg');
      expect(atob(small.base64 ?? '').length).toBeLessThan(20_000);

      expect(names).toEqual([]);
      if (isTold) expectToldInDocs(sdk.name, requests);
    });

    it('is told in Easemob’s words that a file is too large', async () => {
      const scene = await setScene(stage, { set: ['limits.fileBytes=64KB'] });
      await logIn(stage.ann, 'ann', scene);
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: fileOfSize(100_000) });
      expectUploadError(sent, { error: 'file exceeding maximum limit' });
      expect(scene.emulator.received()).toEqual([]);
    });

    it('sends plainly what it would rather send in parts, so that the limit holds for it too', async () => {
      const scene = await setScene(stage);
      const requests = recordRequests(scene.gateway.url);
      await logIn(stage.ann, 'ann', scene);
      const within = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: fileOfSize(8_000_000) });
      expect(within.sent).toBeDefined();
      const beyond = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: fileOfSize(11_000_000) });
      expectUploadError(beyond, { error: 'file exceeding maximum limit' });
      expect(requests.filter(({ target }) => target.endsWith('/part-upload')).length).toBeGreaterThan(0);
      expect(scene.emulator.received().map(({ interface: asked, status }) => [asked, status])).toEqual([
        ['upload', 200],
      ]);
    });

    it('does not notice that the upstream throttles', async () => {
      const scene = await setScene(stage);
      await logIn(stage.ann, 'ann', scene);
      await logIn(stage.bob, 'bob', scene);
      scene.emulator.fault({ kind: 'unavailable', times: 2 });
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      expect(sent.error).toBeUndefined();
      expect(sent.sent).toBeDefined();
      const { url, secret } = await stage.bob.nextPicture();
      scene.emulator.fault({ kind: 'status', status: 429, body: { error: 'reach_limit' }, times: 2 });
      expect(await stage.bob.download({ url, secret })).toMatchObject({ type: 'image/jpeg' });
      const statuses = scene.emulator.received().map(({ status }) => status);
      expect(statuses).toEqual([503, 503, 200, 429, 429, 200]);
    });

    it('is told when the upstream stays away', async () => {
      const scene = await setScene(stage, { set: ['retry.throttledAttempts=2', 'retry.attempts=2'] });
      await logIn(stage.ann, 'ann', scene);
      scene.emulator.fault({ kind: 'unavailable' });
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      expectUploadError(sent, { error: 'service_unavailable' });
      scene.emulator.clearFaults();
      scene.emulator.fault({ kind: 'reset', where: 'start' });
      const lost = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      expectUploadError(lost, { error: 'bad_gateway' });
    });

    it('is told why a download is refused', async () => {
      const scene = await setScene(stage);
      await logIn(stage.ann, 'ann', scene);
      await logIn(stage.bob, 'bob', scene);
      await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      const { url, secret } = await stage.bob.nextPicture();
      const file = url.replace(/\?.*/, '');
      const refusals = [
        [await stage.bob.download({ url: file, secret: 'wrong' }), CODE.NO_PERMISSION, 'chatfile no permission'],
        [await stage.bob.download({ url: `${file}x`, secret }), CODE.DOWNLOAD, 'file may not exists'],
        [await failing({ kind: 'status', status: 500 }), CODE.SERVER, 'Internal Server Error'],
      ] as const;
      for (const [answer, type, description] of refusals) {
        if (sdk.readsStatus) expect(answer.error).toMatchObject({ type });
        // Those that read no status give the app the refusal as if it were the file.
        else expect(JSON.parse(atob(answer.base64 ?? ''))).toMatchObject({ error_description: description });
      }

      async function failing(fault: Parameters<typeof scene.emulator.fault>[0]) {
        scene.emulator.fault(fault);
        return stage.bob.download({ url: file, secret: secret });
      }
    });

    it('logs in through the gateway with a password, and is known there afterwards', async () => {
      const user = { org: ORG, app: APP, username: 'ann', password: 'secret' };
      const scene = await setScene(stage, { set: ['passthrough=token'], emulator: { users: [user] } });
      const how = { ...connectionTo(scene.gateway.url, scene.chat), user: 'ann' };
      const { token } = await stage.ann.login({ ...how, password: 'secret' });
      expect(token).toMatch(/^YWMt/);
      const sent = await stage.ann.sendPicture({ to: 'bob', chatType: 'singleChat', file: photograph() });
      expect(sent.sent).toBeDefined();
      await stage.ann.logout();
      const { error } = await stage.ann.login({ ...how, password: 'wrong' });
      expect(error).toBeDefined();
    });

    /** What an app is told of an upload that was refused. */
    function expectUploadError(sent: Awaited<ReturnType<Stage['ann']['sendPicture']>>, data: object): void {
      expect(sent.sent).toBeUndefined();
      if (sdk.readsStatus) expect(sent.refused).toMatchObject({ type: CODE.UPLOAD, data });
      // Stumbles over any answer without `entities`, Easemob's own too, and tells its own mistake.
      else expect(sent.error).toMatchObject({ type: CODE.UPLOAD_OLD });
    }
  });
}

import { readFile } from 'node:fs/promises';
import { ask, multipartOf } from '../../test/kit/ask.ts';
import { EASEMOB, easemobToken } from '../../test/access/tokens-kit.ts';
import type { Received } from '../../src/emulator/record.ts';
import type { Asked } from './counts.ts';
import { APP, bodyOf, pathOf, secretOf, tokenOf } from './hot-set.ts';
import { startEmulator, startOwn } from './processes.ts';

/** A picture that was posted to a group: where it is, how it is opened, and what its thumbnail must look like. */
export type Picture = { path: string; secret: string; thumbnail: Buffer };

/** The upstream of a group, in a process of its own, which takes 30 requests a second. */
export type GroupUpstream = AsyncDisposable & {
  url: string;
  /** The tokens of so many members; one more is that of somebody outside, who warms up. */
  issue(members: number): Promise<string[]>;
  /** Posts a picture, past everything that is measured. */
  post(): Promise<Picture>;
  /** What it was asked for since it was asked this before. */
  take(): Promise<Asked>;
};

/** Whoever posts and looks comes from elsewhere: it has an allowance of its own at the upstream. */
const ELSEWHERE = '127.0.200.1';
const PICTURE = new URL('../../samples/picture.jpg', import.meta.url);
const ISSUED_AT_ONCE = 20;
const PER_SECOND = 30;

/** The emulator, with its own pictures and tokens. */
export async function startEmulatedUpstream(): Promise<GroupUpstream> {
  const emulator = await startEmulator();
  const [org, app] = APP.split('/');
  const control = async (path: string, method: string, body?: object): Promise<unknown> => {
    const answer = await fetch(emulator.adminUrl + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
    return answer.status === 204 ? undefined : answer.json();
  };
  const issue = async (username: string) => {
    const issued = await control('/tokens', 'POST', { org, app, username, layout: 'long' });
    return (issued as { access_token: string }).access_token;
  };
  const picture = await readFile(PICTURE);
  return {
    url: emulator.url,
    async issue(members) {
      const tokens: string[] = [];
      for (let from = 0; from <= members; from += ISSUED_AT_ONCE) {
        const names = Array.from({ length: Math.min(ISSUED_AT_ONCE, members + 1 - from) }, (_, i) => `user${from + i}`);
        tokens.push(...(await Promise.all(names.map(issue))));
      }
      return tokens;
    },
    async post() {
      const authorization = `Bearer ${await issue('author')}`;
      const { contentType, body } = multipartOf(picture, 'picture.jpg');
      const url = `${emulator.url}/${APP}/chatfiles`;
      const headers = { authorization, 'content-type': contentType, 'restrict-access': 'true' };
      const posted = await ask(url, { method: 'POST', headers, body, from: ELSEWHERE });
      const [{ uuid, 'share-secret': secret }] = (
        JSON.parse(posted.body.toString()) as { entities: [{ uuid: string; 'share-secret': string }] }
      ).entities;
      const fields = { authorization, 'share-secret': secret, thumbnail: 'true' };
      const { status, body: thumbnail } = await ask(`${url}/${uuid}`, { headers: fields, from: ELSEWHERE });
      if (status !== 200) throw new Error(`the emulator answers with ${status}`);
      await control('/received', 'DELETE');
      return { path: `/${APP}/chatfiles/${uuid}`, secret, thumbnail };
    },
    async take() {
      const received = (await control('/received', 'GET')) as Received[];
      await control('/received', 'DELETE');
      const passed = received.filter(({ limited }) => !limited);
      const vouching = passed.filter(({ status }) => status === 304 || status === 206).length;
      return { bytes: passed.length - vouching, vouching, refused: received.length - passed.length };
    },
    [Symbol.asyncDispose]: emulator.end,
  };
}

/** The keys by which a gateway verifies the tokens of `startLenientUpstream`. */
export const VERIFY_KEYS = `access.verify.easemob=${APP}=${EASEMOB.clientId}:${EASEMOB.clientSecret}`;

/** The bench's own upstream, which takes any token: the emulator takes none but its own, and those cannot be verified. */
export async function startLenientUpstream(): Promise<GroupUpstream> {
  const upstream = await startOwn('upstream', [String(PER_SECOND)]);
  let posted = 0;
  return {
    url: upstream.url,
    issue: async (members) => {
      const curTime = Math.floor(Date.now() / 1000);
      const appkey = APP.replace('/', '#');
      const member = (index: number) => easemobToken({ appkey, userId: `user${index}`, curTime, ttl: 3600 });
      // The one outside has no such token: its kind is accepted for another reason.
      return [...Array.from({ length: members }, (_, index) => member(index)), tokenOf(0)];
    },
    async post() {
      posted += 1;
      return { path: pathOf(posted), secret: secretOf(posted), thumbnail: bodyOf(posted) };
    },
    take: async () => (await (await fetch(`${upstream.url}/-/counts`)).json()) as Asked,
    [Symbol.asyncDispose]: upstream.end,
  };
}

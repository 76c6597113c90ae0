/** The ways of asking for a thumbnail, and what a stranger must meet in each. */
import { expect } from 'vitest';
import type { Reply } from './ask.ts';
import { etagOf } from './cached.ts';
import type { Claim, Scene, Stranger } from './strangers.ts';
import { askWire, type Wire } from './wire.ts';

type Fields = [string, string][];

/** A way of asking for what is kept; `own`: what the gateway says to it by itself, whoever asks. */
type Way = { name: string; own?: number; ask: (path: string, query: string, etag: string) => Wire };

const way = (name: string, fields: Fields | ((etag: string) => Fields), more: Partial<Wire> = {}): Way => ({
  name,
  ask: (path, query, etag) => ({
    path: query === '' ? path : `${path}?${query}`,
    fields: [['thumbnail', 'true'], ...(typeof fields === 'function' ? fields(etag) : fields)],
    ...more,
  }),
});
const otherPath = (name: string, change: (path: string) => string, own?: number): Way => ({
  name,
  ...(own === undefined ? {} : { own }),
  ask: (path, query) => ({
    path: change(path) + (query === '' ? '' : `?${query}`),
    fields: [['thumbnail', 'true']],
  }),
});
const otherForm = (name: string, query: string, fields: Fields = []): Way => ({
  name,
  ask: (path, own) => ({ path: `${path}?${[own, query].filter((part) => part !== '').join('&')}`, fields }),
});

/** All of them. */
export const WAYS: Way[] = [
  way('plainly', []),
  way('by HEAD', [], { method: 'HEAD' }),
  way('for a part', [['Range', 'bytes=0-63']]),
  way('for the end', [['Range', 'bytes=-64']]),
  way('for a part behind the end', [['Range', 'bytes=999999-']]),
  way('for several parts', [['Range', 'bytes=0-31,64-95']]),
  way('whether the known ETag still holds', (etag) => [['If-None-Match', etag]]),
  way('whether the known ETag still holds, weakly', (etag) => [['If-None-Match', `W/${etag}`]]),
  way('whether anything is there', [['If-None-Match', '*']]),
  way('by HEAD whether the known ETag still holds', (etag) => [['If-None-Match', etag]], { method: 'HEAD' }),
  way('whether it is newer', [['If-Modified-Since', 'Fri, 31 Dec 2100 23:59:59 GMT']]),
  way('for a part if the known ETag still holds', (etag) => [
    ['Range', 'bytes=0-63'],
    ['If-Range', etag],
  ]),
  way('only if the known ETag still holds', (etag) => [['If-Match', etag]]),
  way('as if no cache were there', [['Cache-Control', 'no-cache']]),
  way('only if it is kept', [['Cache-Control', 'only-if-cached']]),
  { name: 'with TRUE', ask: (path, query) => ({ path: `${path}?${query}`, fields: [['thumbnail', 'TRUE']] }) },
  { name: 'with false', ask: (path, query) => ({ path: `${path}?${query}`, fields: [['thumbnail', 'false']] }) },
  otherForm('by the query', 'thumbnail=true'),
  otherForm('by the query and the field', 'thumbnail=true', [['thumbnail', 'true']]),
  otherForm('by the query in capitals', 'Thumbnail=TRUE'),
  otherForm('by an encoded query', 'thumbnail=tru%65'),
  otherForm('by a semicolon', 'x=1;thumbnail=true'),
  otherForm('with a parameter of its own', 'x=1', [['thumbnail', 'true']]),
  otherForm('with an empty parameter', '&', [['thumbnail', 'true']]),
  otherForm('for the original', ''),
  otherPath('in the absolute form', (path) => `http://somewhere.example${path}`),
  otherPath('by the name in capitals', (path) => path.replace(/[^/]+$/, (uuid) => uuid.toUpperCase())),
  otherPath('with a slash at the end', (path) => `${path}/`, 404),
  otherPath('with two slashes', (path) => path.replace('/chatfiles/', '/chatfiles//'), 404),
  otherPath('with a dot segment', (path) => path.replace('/chatfiles/', '/chatfiles/./'), 404),
  otherPath('by an encoded name', (path) => path.replace('/chatfiles/', '/chatfile%73/'), 404),
  otherPath(
    'by an encoded file',
    (path) => `${path.slice(0, -1)}%${path.charCodeAt(path.length - 1).toString(16)}`,
    404,
  ),
  otherPath('by Chatfiles', (path) => path.replace('chatfiles', 'Chatfiles'), 404),
  otherPath('with parameters of the path', (path) => `${path};x=1`, 404),
];

/** Those that get as far as to the credentials; the others meet the same wherever the picture is. */
export const WAYS_IN: Way[] = WAYS.filter(({ own }) => own === undefined);

/** One request of a stranger's, and the status that it must get. */
export type Attempt = { name: string; wire: Wire; wanted: number };

/** Finds out what the upstream says to a stranger in each way of asking, unless the gateway refuses it by itself. */
export async function attemptsOf(stranger: Stranger, scene: Scene, ways = WAYS): Promise<Attempt[]> {
  const claim = await stranger.claim(scene);
  const attempts: Attempt[] = [];
  for (const { name, own, ask } of ways) {
    const wire = wireOf(claim, ask);
    // A path that is none here is refused before anybody looks at credentials.
    const wanted = own ?? stranger.own ?? (await askWire(scene.emulator.url, wire)).status;
    attempts.push({ name, wire, wanted });
  }
  return attempts;
}

const wireOf = ({ file, fields, query = '' }: Claim, ask: Way['ask']): Wire => {
  const wire = ask(file.path, query, etagOf(file.picture));
  return { ...wire, fields: [...fields, ...wire.fields] };
};

/** Each attempt gets the status that it must get, and nothing that tells of a picture. */
export async function expectNothing(attempts: Attempt[], scene: Scene, url: string): Promise<void> {
  for (const { name, wire, wanted } of attempts) {
    const reply = await askWire(url, wire);
    expect([name, reply.status]).toEqual([name, wanted]);
    expectNoTrace(reply, scene);
  }
}

/** The same, all at once. */
export async function expectNothingAtOnce(attempts: Attempt[], scene: Scene, url: string): Promise<void> {
  const replies = await Promise.all(attempts.map(({ wire }) => askWire(url, wire)));
  expect(replies.map(({ status }) => status)).toEqual(attempts.map(({ wanted }) => wanted));
  for (const reply of replies) expectNoTrace(reply, scene);
}

/** How long a piece of a picture must be to be told from chance. */
const SLICE = 16;

/** Nothing of the pictures is in an answer: no piece of their bytes, no ETag of ours, nothing that tells their age or length. */
export function expectNoTrace({ status, body, headers }: Reply, { open, restricted }: Scene): void {
  expect(status).toBeGreaterThanOrEqual(400);
  for (const name of ['etag', 'content-range', 'last-modified', 'age', 'accept-ranges', 'cache-status']) {
    expect(headers[name]).toBeUndefined();
  }
  for (const { picture } of [open, restricted]) {
    expect(body.includes(etagOf(picture))).toBe(false);
    for (let at = 0; at + SLICE <= body.length; at += 1) {
      if (picture.includes(body.subarray(at, at + SLICE))) expect.fail(`a piece of a picture at ${at}`);
    }
  }
}

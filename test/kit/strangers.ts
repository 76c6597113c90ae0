/** The ways of being somebody else. */
import { expect } from 'vitest';
import type { Cached, Shared } from './cached.ts';
import { APP, ORG } from './easemob.ts';
import { askWire } from './wire.ts';

type Fields = [string, string][];

/** A world in which two pictures are kept. */
export type Scene = Cached & { open: Shared; restricted: Shared };

/** What somebody asks for, and by which credentials; `query` holds those that are given there. */
export type Claim = { file: Shared; fields: Fields; query?: string };

/** Somebody who may not see a file that is kept. */
export type Stranger = {
  name: string;
  /** What the gateway says by itself; else it is what the upstream says to the same request. */
  own?: number;
  claim: (scene: Scene) => Promise<Claim> | Claim;
};

const authorization = (token: string): [string, string] => ['Authorization', `Bearer ${token}`];
const secretField = (secret = ''): [string, string] => ['share-secret', secret];

/** A token that the gateway believed, and was then told not to. */
async function refusedLately(scene: Scene): Promise<string> {
  const token = await scene.believed('eve');
  scene.emulator.revokeToken(token);
  // The original is not kept: this is asked upstream.
  const wire = { path: scene.open.path, fields: [authorization(token)] };
  expect((await askWire(scene.url(), wire)).status).toBe(401);
  return token;
}

const withToken = (name: string, token: (scene: Scene) => Promise<string> | string, own?: number): Stranger => ({
  name,
  ...(own === undefined ? {} : { own }),
  claim: async (scene) => ({ file: scene.open, fields: [authorization(await token(scene))] }),
});

const withSecret = (
  name: string,
  claim: (scene: Scene & { secret: string }) => Pick<Claim, 'query'> & { fields?: Fields },
  own?: number,
): Stranger => ({
  name,
  ...(own === undefined ? {} : { own }),
  claim: async (scene) => {
    const { fields = [], query } = claim({ ...scene, secret: scene.restricted.secret ?? '' });
    const token = await scene.believed('eve');
    return { file: scene.restricted, fields: [authorization(token), ...fields], ...(query ? { query } : {}) };
  },
});

/** Changes the case of the first letter. */
const otherCase = (text: string): string =>
  text.replace(/[A-Za-z]/, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()));

/** Each with one thing wrong. */
export const STRANGERS: Stranger[] = [
  { name: 'nobody', claim: ({ open }) => ({ file: open, fields: [] }) },
  { name: 'somebody with an empty field', claim: ({ open }) => ({ file: open, fields: [['Authorization', '']] }) },
  withToken('a malformed token', () => 'no%token'),
  withToken('a token that was made up', () => 'YWMtmadeup'),
  withToken('a token with a letter in another case', async (scene) => otherCase(await scene.believed('bob'))),
  withToken('a token that is cut off', async (scene) => (await scene.believed('bob')).slice(0, -1)),
  withToken('a token that has expired by its text', ({ tokenOf }) => tokenOf('eve', { ttlSeconds: -1 })),
  withToken('a token of the short layout that has expired', ({ tokenOf }) =>
    tokenOf('eve', { ttlSeconds: -1, layout: 'short' }),
  ),
  withToken('a token that was revoked before it was ever used', ({ tokenOf, emulator }) => {
    const token = tokenOf('eve');
    emulator.revokeToken(token);
    return token;
  }),
  withToken('a token that was believed, and refused a moment ago', refusedLately),
  withToken("another app's token", ({ emulator }) =>
    emulator.issueToken(ORG, 'other', { username: 'eve', layout: 'long' }),
  ),
  withToken('the same user, by the token of another app', ({ emulator }) =>
    emulator.issueToken(ORG, 'other', { username: 'ann', layout: 'long' }),
  ),
  {
    name: 'the same user, at the other app',
    claim: ({ emulator, open }) => ({
      file: { ...open, path: open.path.replace(`/${APP}/`, '/other/') },
      fields: [authorization(emulator.issueToken(ORG, 'other', { username: 'ann', layout: 'long' }))],
    }),
  },
  {
    name: 'two tokens, the good one first',
    own: 400,
    claim: async (scene) => ({
      file: scene.open,
      fields: [authorization(await scene.believed('bob')), authorization('YWMtmadeup')],
    }),
  },
  {
    name: 'two tokens, the good one last',
    own: 400,
    claim: async (scene) => ({
      file: scene.open,
      fields: [authorization('YWMtmadeup'), authorization(await scene.believed('bob'))],
    }),
  },
  {
    name: 'a good token in the query alone',
    own: 400,
    claim: async (scene) => ({
      file: scene.open,
      fields: [],
      query: `access_token=${await scene.believed('bob')}`,
    }),
  },
  withSecret('a good token without a secret', () => ({})),
  withSecret('a good token with an empty secret', () => ({ fields: [secretField()] })),
  withSecret('a good token with an empty secret in the query', () => ({ query: 'share-secret=' })),
  withSecret('a good token with a wrong secret', () => ({ fields: [secretField('wrong')] })),
  withSecret('a good token with a wrong secret in the query', () => ({ query: 'share-secret=wrong' })),
  withSecret('a good token with the secret in another case', ({ secret }) => ({
    fields: [secretField(otherCase(secret))],
  })),
  withSecret('a good token with most of the secret', ({ secret }) => ({ fields: [secretField(secret.slice(0, -1))] })),
  withSecret(
    'a good token with the secret in the header and another in the query',
    ({ secret }) => ({ fields: [secretField(secret)], query: 'share-secret=wrong' }),
    400,
  ),
  withSecret(
    'a good token with the secret in the query and another in the header',
    ({ secret }) => ({ fields: [secretField('wrong')], query: `share-secret=${secret}` }),
    400,
  ),
  withSecret(
    'a good token with the secret in the query and an empty one in the header',
    ({ secret }) => ({ fields: [secretField('')], query: `share-secret=${secret}` }),
    400,
  ),
  withSecret(
    'a good token with two secrets, the right one first',
    ({ secret }) => ({ fields: [secretField(secret), secretField('wrong')] }),
    400,
  ),
  withSecret(
    'a good token with two secrets, the right one last',
    ({ secret }) => ({ fields: [secretField('wrong'), secretField(secret)] }),
    400,
  ),
  withSecret(
    'a good token with a list of secrets',
    ({ secret }) => ({ fields: [secretField(`wrong, ${secret}`)] }),
    400,
  ),
  {
    name: "a good token with another file's secret",
    claim: async (scene) => {
      const other = await scene.share({ restricted: true });
      const token = await scene.believed('eve');
      expect((await scene.see(other, token)).status).toBe(200);
      return { file: scene.restricted, fields: [authorization(token), secretField(other.secret)] };
    },
  },
  {
    name: "the app's own token without the secret",
    claim: async (scene) => ({
      file: scene.restricted,
      fields: [authorization(await scene.believed('app', { kind: 'app' }))],
    }),
  },
  {
    name: 'the right secret without a token',
    claim: ({ restricted }) => ({ file: restricted, fields: [secretField(restricted.secret)] }),
  },
  {
    name: 'the right secret with a token that was refused a moment ago',
    claim: async (scene) => ({
      file: scene.restricted,
      fields: [authorization(await refusedLately(scene)), secretField(scene.restricted.secret)],
    }),
  },
];

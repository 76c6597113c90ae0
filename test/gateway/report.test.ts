import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf } from '../kit/ask.ts';
import { pictureOf, until } from '../kit/cached.ts';
import { APP, bearer, CHATFILES, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { type Asked, type Scripted, startScriptedUpstream } from '../kit/scripted-upstream.ts';
import { createShiftClock } from '../kit/shift-clock.ts';

const HOUR_MS = 3_600_000;

/** A token in the short layout, which tells when it ends. */
function tokenUntil(endsAt: number): string {
  const bytes = Buffer.concat([randomBytes(16), Buffer.alloc(8), randomBytes(20)]);
  bytes.writeBigInt64BE(BigInt(Math.round(endsAt)), 16);
  return `YWMt${bytes.toString('base64url')}`;
}

const PICTURE = pictureOf();
const pictureAnswer = (): Scripted => ({ headers: { 'content-type': 'image/jpeg' }, body: PICTURE });

async function start(set: string[], answer: (asked: Asked) => Scripted = pictureAnswer) {
  const upstream = await startScriptedUpstream(answer);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const clock = createShiftClock();
  const running = await startGateway({ upstreamUrl: upstream.url, clock, set });
  const see = (token: string | undefined, file: string, app = CHATFILES) =>
    ask(`${running.gateway.url}${app}/${file}`, {
      headers: { thumbnail: 'true', 'share-secret': 'a-secret', ...(token === undefined ? {} : bearer(token)) },
    });
  return { ...running, upstream, clock, see };
}

const cacheOf = (reply: { headers: Record<string, unknown> }) => String(reply.headers['cache-status']);

describe('destinations that are only reported', () => {
  const SET = ['destinations=o9/a9', 'enforce.destinations=report'];

  it('go through, and are written down with what they would have met, also from memory', async () => {
    const { see, summaries, upstream } = await start(SET);
    const token = tokenUntil(Date.now() + HOUR_MS);
    const file = randomUUID();
    for (let count = 0; count < 2; count += 1) expect((await see(token, file)).status).toBe(200);
    expect(upstream.asked).toHaveLength(1);
    await until(() => summaries.length === 2);
    for (const summary of summaries) {
      expect(summary).toMatchObject({ decision: 'allow', wouldDeny: 'DESTINATION_UNKNOWN', status: 200 });
      expect(summary.wouldDenyReason).toContain('list of destinations');
    }
  });

  it('are refused when the policy is on, and a listed app is not written about', async () => {
    const { see, summaries, upstream } = await start(['destinations=o9/a9']);
    const token = tokenUntil(Date.now() + HOUR_MS);
    expect((await see(token, randomUUID())).status).toBe(404);
    expect(upstream.asked).toHaveLength(0);
    expect((await see(token, randomUUID(), '/o9/a9/chatfiles')).status).toBe(200);
    await until(() => summaries.length === 2);
    expect(summaries).toMatchObject([
      { decision: 'deny', decisionReason: 'DESTINATION_UNKNOWN', wouldDeny: undefined },
      { decision: 'allow', decisionReason: undefined, wouldDeny: undefined },
    ]);
  });
});

describe('a token that is only reported', () => {
  const SET = ['enforce.tokens=report'];

  it('goes up each time, is not answered from memory, and leaves nothing there', async () => {
    const { see, upstream, summaries } = await start(SET);
    const expired = tokenUntil(Date.now() - HOUR_MS);
    const file = randomUUID();
    for (let count = 1; count <= 3; count += 1) {
      const reply = await see(expired, file);
      expect([reply.status, cacheOf(reply)]).toEqual([200, 'chatfiles-gateway; fwd=bypass']);
      expect(upstream.asked).toHaveLength(count);
    }
    await until(() => summaries.length === 3);
    expect(summaries.map(({ wouldDeny }) => wouldDeny)).toEqual(Array(3).fill('TOKEN_EXPIRED'));
    // It was not kept, and its secret is not proven: who is believed asks for itself.
    const good = tokenUntil(Date.now() + HOUR_MS);
    await see(good, randomUUID());
    expect(cacheOf(await see(good, file))).toContain('fwd=uri-miss');
    expect(upstream.asked).toHaveLength(5);
  });

  it('sees nothing that is kept, though it was believed a moment before it ended', async () => {
    const { see, upstream, clock } = await start(SET);
    const token = tokenUntil(Date.now() + HOUR_MS);
    const file = randomUUID();
    await see(token, file);
    expect(cacheOf(await see(token, file))).toBe('chatfiles-gateway; hit; detail=memory');
    await clock.advance(HOUR_MS - 20_000);
    await see(token, file);
    expect(cacheOf(await see(token, file))).toBe('chatfiles-gateway; hit; detail=memory');
    const { length } = upstream.asked;
    await clock.advance(30_000);
    expect(cacheOf(await see(token, file))).toBe('chatfiles-gateway; fwd=bypass');
    expect(upstream.asked).toHaveLength(length + 1);
  });

  it('teaches nothing by what Easemob says to it: neither a refusal, nor that a file is gone', async () => {
    const gone = { status: 404, body: { error: 'entity_not_found', exception: 'x', error_description: 'x' } };
    const refused = { status: 401, body: { error: 'unauthorized', exception: 'x', error_description: 'x' } };
    let toExpired: Scripted = gone;
    const expired = tokenUntil(Date.now() - HOUR_MS);
    const { see, upstream } = await start(SET, ({ headers }) =>
      headers.authorization?.includes(expired) ? toExpired : pictureAnswer(),
    );
    const good = tokenUntil(Date.now() + HOUR_MS);
    const file = randomUUID();
    await see(good, file);
    expect((await see(expired, file)).status).toBe(404);
    expect(cacheOf(await see(good, file))).toBe('chatfiles-gateway; hit; detail=memory');
    toExpired = refused;
    for (let count = 0; count < 2; count += 1) expect((await see(expired, file)).status).toBe(401);
    expect(upstream.asked).toHaveLength(4);
  });

  it('opens no file by an upload: its answer shows nobody that a file needs no secret', async () => {
    const file = randomUUID();
    const { gateway, see, upstream } = await start(SET, ({ method }) =>
      method === 'POST' ? { body: { entities: [{ uuid: file, type: 'chatfile' }] } } : pictureAnswer(),
    );
    const { contentType, body } = multipartOf(PICTURE);
    const upload = (token: string) =>
      ask(gateway.url + CHATFILES, {
        method: 'POST',
        headers: { ...bearer(token), 'content-type': contentType },
        body,
      });
    expect((await upload(tokenUntil(Date.now() - HOUR_MS))).status).toBe(200);
    const [ann, bob] = [tokenUntil(Date.now() + HOUR_MS), tokenUntil(Date.now() + HOUR_MS)];
    await see(ann, file);
    await see(bob, randomUUID());
    const { length } = upstream.asked;
    const asBob = { thumbnail: 'true', ...bearer(bob) };
    await ask(`${gateway.url}${CHATFILES}/${file}`, { headers: asBob });
    expect(upstream.asked).toHaveLength(length + 1);
  });

  it.each([
    ['TOKEN_MALFORMED', 'Bearer a token with blanks', 'Bearer a token with blanks'],
    ['TOKEN_MALFORMED', `bearer ${'x'.repeat(5000)}`, `Bearer ${'x'.repeat(5000)}`],
    ['TOKEN_MISSING', undefined, undefined],
    ['TOKEN_MISSING', 'Basic dXNlcjpwYXNzd29yZA==', undefined],
  ])('is sent as it came where it is %s, and credentials for others never', async (code, given, sent) => {
    const { gateway, upstream, summaries } = await start([...SET, 'passthrough=users/*']);
    const headers = given === undefined ? {} : { authorization: given };
    const { contentType, body } = multipartOf(PICTURE);
    await ask(`${gateway.url}${CHATFILES}/${randomUUID()}`, { headers });
    await ask(gateway.url + CHATFILES, { method: 'POST', headers: { ...headers, 'content-type': contentType }, body });
    await ask(`${gateway.url}/${ORG}/${APP}/users/ann`, { headers });
    expect(upstream.asked.map(({ headers: fields }) => fields.authorization)).toEqual([sent, sent, sent]);
    await until(() => summaries.length === 3);
    expect(summaries.map(({ wouldDeny }) => wouldDeny)).toEqual([code, code, code]);
  });

  it('meets every other rule all the same', async () => {
    const { gateway, upstream } = await start([...SET, 'limits.fileBytes=10KB']);
    const { contentType, body } = multipartOf(randomBytes(20_000));
    const headers = { 'content-type': contentType };
    expect((await ask(gateway.url + CHATFILES, { method: 'POST', headers, body })).status).toBe(413);
    const twice = await ask(`${gateway.url}${CHATFILES}/${randomUUID()}?access_token=x`, {});
    expect(twice.status).toBe(400);
    expect(upstream.asked).toHaveLength(0);
  });
});

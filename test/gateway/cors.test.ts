import { describe, expect, it } from 'vitest';
import { ask } from '../kit/ask.ts';
import { APP, bearer, CHATFILES, fileOf, formOf, ORG, type Uploaded } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';

const ORIGIN = 'https://chat.example.com';
const PREFLIGHT = {
  origin: ORIGIN,
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,restrict-access',
};

describe('a page of another origin', () => {
  it('may not read anything unless its origin is on the list', async () => {
    const { gateway } = await startGateway();
    const preflight = await fetch(`${gateway.url}${CHATFILES}`, { method: 'OPTIONS', headers: PREFLIGHT });
    expect(preflight.status).toBe(405);
    const answer = await fetch(`${gateway.url}${CHATFILES}/x`, { headers: { origin: ORIGIN } });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('is told by a preflight what it may send, without a token, at no cost', async () => {
    const { gateway, emulator, summaries } = await startGateway({
      set: [`cors.origins=${ORIGIN}`, 'clientLimit.requests=1'],
    });
    for (let i = 0; i < 5; i += 1) {
      const preflight = await fetch(`${gateway.url}${CHATFILES}`, { method: 'OPTIONS', headers: PREFLIGHT });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get('access-control-allow-origin')).toBe(ORIGIN);
      expect(preflight.headers.get('access-control-allow-methods')).toBe('GET,HEAD,POST,PUT,DELETE');
      const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase().split(',');
      expect(allowed).toEqual(
        expect.arrayContaining(['authorization', 'restrict-access', 'traceparent', 'tracestate']),
      );
      expect(preflight.headers.get('access-control-max-age')).toBe('600');
      expect(preflight.headers.get('vary')).toContain('Origin');
    }
    expect(emulator.received()).toEqual([]);
    expect(summaries.map(({ route, status }) => [route, status])).toEqual(
      Array.from({ length: 5 }, () => ['preflight', 204]),
    );
  });

  it.each([
    ['any', '*', '*'],
    ['one', ORIGIN, ORIGIN],
    ['several', `https://other.example.com,${ORIGIN}`, ORIGIN],
  ])('reads also what is refused before it could be parsed, where %s origin may', async (_case, origins, allowed) => {
    const { gateway } = await startGateway({ set: [`cors.origins=${origins}`] });
    const tooLong = { origin: ORIGIN, 'x-long': 'x'.repeat(20_000) };
    const refused = await ask(`${gateway.url}${CHATFILES}/x`, { headers: tooLong });
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([431, allowed]);
  });

  it('is let through by a preflight to a place that is not served, and reads then why not', async () => {
    const { gateway, emulator } = await startGateway({ set: [`cors.origins=${ORIGIN}`] });
    const preflight = await fetch(`${gateway.url}/nope`, { method: 'OPTIONS', headers: PREFLIGHT });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, ORIGIN]);
    const answer = await fetch(`${gateway.url}/nope`, { method: 'POST', headers: { origin: ORIGIN } });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([404, ORIGIN]);
    expect(emulator.received()).toEqual([]);
  });

  it('reads every answer, refusals too, and the fields that tell more', async () => {
    const { gateway, emulator } = await startGateway({ set: ['cors.origins=*', 'limits.fileBytes=1KB'] });
    const token = emulator.issueToken(ORG, APP);
    const asks = [
      fetch(`${gateway.url}${CHATFILES}/x`, { headers: { origin: ORIGIN } }),
      fetch(`${gateway.url}${CHATFILES}/x`, { headers: bearer(token, { origin: ORIGIN }) }),
      fetch(`${gateway.url}/nowhere`, { headers: { origin: ORIGIN } }),
      fetch(`${gateway.url}${CHATFILES}`, {
        method: 'POST',
        headers: bearer(token, { origin: ORIGIN }),
        body: formOf(fileOf(200_000)),
      }),
      fetch(`${gateway.url}${CHATFILES}`, {
        method: 'POST',
        headers: bearer(token, { origin: ORIGIN }),
        body: formOf(fileOf(100)),
      }),
    ];
    const answers = await Promise.all(asks);
    expect(answers.map(({ status }) => status)).toEqual([401, 404, 404, 413, 200]);
    for (const { headers } of answers) {
      expect(headers.get('access-control-allow-origin')).toBe('*');
      for (const name of ['Retry-After', 'RateLimit', 'Cache-Status', 'ETag', 'Content-Length', 'Accept-Ranges'])
        expect(headers.get('access-control-expose-headers')).toContain(name);
    }
  });

  it('of an origin that is not on the list gets no leave', async () => {
    const { gateway } = await startGateway({ set: [`cors.origins=${ORIGIN}`] });
    const headers = { ...PREFLIGHT, origin: 'https://evil.example' };
    const preflight = await fetch(`${gateway.url}${CHATFILES}`, { method: 'OPTIONS', headers });
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('the address in the answer to an upload', () => {
  const upload = async (url: string, token: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${url}${CHATFILES}`, {
      method: 'POST',
      headers: bearer(token, headers),
      body: formOf('x'),
    });
    const text = await answer.text();
    expect(Number(answer.headers.get('content-length'))).toBe(Buffer.byteLength(text));
    return { text, uri: (JSON.parse(text) as Uploaded).uri };
  };

  it("is the gateway's own, as its client named it", async () => {
    const { gateway, emulator } = await startGateway();
    const { uri } = await upload(gateway.url, emulator.issueToken(ORG, APP));
    expect(uri).toBe(`${gateway.url}${CHATFILES}`);
  });

  it('is the configured one, where there is one', async () => {
    const { gateway, emulator } = await startGateway({ set: ['publicUrl=https://files.example.com'] });
    const { uri } = await upload(gateway.url, emulator.issueToken(ORG, APP));
    expect(uri).toBe(`https://files.example.com${CHATFILES}`);
  });

  it('is what a trusted proxy says, and nobody else', async () => {
    const forwarded = { 'x-forwarded-host': 'files.example.com', 'x-forwarded-proto': 'https' };
    const trusting = await startGateway({ set: ['trustedProxies=127.0.0.1'] });
    const token = trusting.emulator.issueToken(ORG, APP);
    expect((await upload(trusting.gateway.url, token, forwarded)).uri).toBe(`https://files.example.com${CHATFILES}`);
    const wrong = { ...forwarded, 'x-forwarded-host': 'evil"example/x' };
    expect((await upload(trusting.gateway.url, token, wrong)).uri).not.toContain('evil');
    const { gateway, emulator } = await startGateway();
    expect((await upload(gateway.url, emulator.issueToken(ORG, APP), forwarded)).uri).toBe(
      `${gateway.url}${CHATFILES}`,
    );
  });
});

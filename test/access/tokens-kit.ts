import { createHmac, hash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

/** The keys that tests sign with. */
export const AGORA = {
  app: 'o/a',
  appId: '970CA35de60c44645bbae8a215061b33',
  certificate: '5CFd2fd1755d40ecb72977518be15d3b',
};
export const EASEMOB = { app: 'o/a', clientId: 'YXA6clientid', clientSecret: 'YXA6clientsecret' };

type Service = { type: number; privileges?: Record<number, number>; texts?: string[] };

/** What an Agora token is made of; seconds. */
export type AgoraClaims = {
  appId?: string;
  certificate?: string;
  issued?: number;
  lasts?: number;
  salt?: number;
  services?: Service[];
  level?: number;
};

const u16 = (value: number) => Buffer.from(new Uint16Array([value]).buffer);
const u32 = (value: number) => Buffer.from(new Uint32Array([value]).buffer);
const str = (bytes: Buffer | string) => Buffer.concat([u16(bytes.length), Buffer.from(bytes)]);
const hmac = (key: Buffer, message: Buffer | string) => createHmac('sha256', key).update(message).digest();

/** A chat service with one privilege: 1 for a user, 2 for the app. */
export const chat = (privilege = 1, lasts = 3600): Service => ({
  type: 5,
  privileges: { [privilege]: lasts },
  texts: ['alice'],
});

/** Signs an Agora token, as Agora's own builders do. */
export function agoraToken(claims: AgoraClaims = {}): string {
  const { appId, certificate, issued, lasts, salt, services, level } = {
    ...AGORA,
    issued: 1_700_000_000,
    lasts: 3600,
    salt: 12_345_678,
    services: [chat()],
    level: -1,
    ...claims,
  };
  const packed = services.map(({ type, privileges = {}, texts = [] }) => {
    const entries = Object.entries(privileges).map(([id, end]) => Buffer.concat([u16(Number(id)), u32(end)]));
    return Buffer.concat([u16(type), u16(entries.length), ...entries, ...texts.map(str)]);
  });
  const signed = Buffer.concat([str(appId), u32(issued), u32(lasts), u32(salt), u16(services.length), ...packed]);
  const signature = hmac(hmac(u32(salt), hmac(u32(issued), certificate)), signed);
  return `007${deflateSync(Buffer.concat([str(signature), signed]), { level }).toString('base64')}`;
}

/** What an Easemob dynamic token is made of; seconds. */
export type EasemobClaims = Partial<{
  clientId: string;
  clientSecret: string;
  appkey: string;
  userId: unknown;
  curTime: unknown;
  ttl: unknown;
  signature: unknown;
}>;

/** Signs a dynamic token, as an app's own server does. */
export function easemobToken(claims: EasemobClaims = {}, write: (claims: object) => string = JSON.stringify): string {
  const { clientId, clientSecret, appkey, userId, curTime, ttl } = {
    ...EASEMOB,
    appkey: 'o#a',
    userId: 'alice',
    curTime: 1_700_000_000,
    ttl: 600,
    ...claims,
  };
  const text = `${clientId}${appkey}${String(userId)}${String(curTime)}${String(ttl)}${clientSecret}`;
  const { signature = hash('sha256', text) } = claims;
  return Buffer.from(`dt-${write({ signature, appkey, userId, curTime, ttl })}`).toString('base64url');
}

import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../test/kit/ask.ts';
import type { Picture } from './group-upstreams.ts';

/** What one member of the group saw. Times are ms since the first one asked. */
export type Seen = {
  sentAt: number;
  endedAt: number;
  status: number;
  isRight: boolean;
  /** Where the bytes came from, as far as the answer tells. */
  from: string;
  retryAfter: number | undefined;
  /** What an answer other than the picture said; nothing where the connection broke. */
  said: string | undefined;
};

/** Before the first one asks, in ms. */
const AHEAD_MS = 100;

/** Each member's address on the loopback network: no limit of a client is to be felt. */
const addressOf = (member: number): string => `127.0.${1 + Math.floor(member / 200)}.${1 + (member % 200)}`;

/** All members ask for one picture, one after the other, spread evenly over a time; nobody asks twice. */
export async function askAll(
  picture: Picture,
  tokens: readonly string[],
  urlOf: (member: number) => string,
  withinMs: number,
): Promise<Seen[]> {
  const startAt = performance.now() + AHEAD_MS;
  const askOnce = async (token: string, member: number): Promise<Seen> => {
    const dueAt = startAt + (withinMs * member) / tokens.length;
    await sleep(dueAt - performance.now());
    const headers = { authorization: `Bearer ${token}`, 'share-secret': picture.secret, thumbnail: 'true' };
    const sentAt = performance.now() - startAt;
    const {
      status,
      headers: fields,
      body,
    } = await ask(urlOf(member) + picture.path, { headers, from: addressOf(member) });
    const retryAfter = fields['retry-after'];
    return {
      sentAt,
      endedAt: performance.now() - startAt,
      status,
      isRight: status === 200 && body.equals(picture.thumbnail),
      from: sourceOf(fields['cache-status'] ?? fields['x-cache']),
      retryAfter: retryAfter === undefined ? undefined : Number(retryAfter),
      said: status === 200 ? undefined : `${status} ${wordsOf(body)}`.trim(),
    };
  };
  return Promise.all(tokens.map(askOnce));
}

/** In a word: the tier, or why the upstream was asked. */
function sourceOf(field: string | string[] | undefined): string {
  const text = String(field ?? 'upstream').toLowerCase();
  if (text.includes('collapsed')) return 'waited';
  if (text.includes('fwd-status=304')) return 'vouched for';
  return /detail=(\w+)/.exec(text)?.[1] ?? (text.includes('uri-miss') ? 'fetched' : text);
}

/** The reason that a refusal gives; the first line of one that is no JSON. */
function wordsOf(body: Buffer): string {
  const text = body.toString();
  try {
    const { error, error_description: description } = JSON.parse(text) as Record<string, string | undefined>;
    return description ?? error ?? '';
  } catch {
    return (/<title>(?:\d+ )?(.*)<\/title>/.exec(text)?.[1] ?? text.split('\n')[0] ?? '').slice(0, 100);
  }
}

/** The script lua/merge.lua, and the names of its keys: the one place that knows in which order it takes and gives what. */
import { readFileSync } from 'node:fs';
import type { RedisConnection } from '../redis/connection.ts';

/** One call; what is left out is not told. Times are on Redis's clock, of the run of it that `epoch` names. */
export type Call = {
  key: string;
  epoch: string;
  /** This run is over: the clock was set, as this replica can tell by its own. */
  endsEpoch: boolean;
  accepted?: number | undefined;
  proven?: number | undefined;
  /** Until the token's own end. */
  endsInMs?: number | undefined;
  refused?: { at: number; about: string };
  sight?: { how: 'claim' | 'spend'; forMs: number } | undefined;
  message?: { channel: string; text: string };
};

/** What Redis knows after it; a time of 0 is none. */
export type Reply = {
  now: number;
  epoch: string;
  accepted: number;
  proven: number;
  refused: number;
  about: string;
  firstSeen: number;
};

/** Makes one call; rejects while Redis is away. */
export type FactsScript = (call: Call) => Promise<Reply>;

/** What begins all names, how long a fact is kept, and for tests what is added to Redis's clock. */
export type FactsScriptOptions = { keyPrefix: string; keepMs: number; shiftMs?: (() => number) | undefined };

/** The layout of keys and messages; a version that changes it shares nothing with this one. */
const LAYOUT = 'v1';
const MERGE = readFileSync(new URL('./lua/merge.lua', import.meta.url), 'utf8');
type Scripts = { chatfilesMerge(keys: number, ...args: (string | number)[]): Promise<string[]> };

/** A name of a key or a channel. One hash tag for all: a Cluster keeps them together, or no script could use them at once. */
export const factsName = (keyPrefix: string, name: string): string => `${keyPrefix}${LAYOUT}:{access}:${name}`;

/** Teaches a connection the script. */
export function createFactsScript(redis: RedisConnection, options: FactsScriptOptions): FactsScript {
  const { keyPrefix, keepMs, shiftMs = () => 0 } = options;
  redis.defineCommand('chatfilesMerge', { lua: MERGE });
  const scripts = redis as unknown as Scripts;
  const name = (text: string) => factsName(keyPrefix, text);
  const whole = (ms: number) => Math.max(0, Math.floor(ms));

  return async (call) => {
    const { key, epoch, endsEpoch, accepted = 0, proven = 0, endsInMs = keepMs, refused, sight, message } = call;
    const keys = [name('clock'), name(`token:${key}`), name(`sight:${key}`)];
    const times = [accepted, proven, refused?.at ?? 0].map((at) => at.toFixed(3));
    const facts = [epoch, ...times, refused?.about ?? '', keepMs, whole(Math.min(endsInMs, keepMs))];
    const first = [sight?.how ?? '', Math.max(1, whole(sight?.forMs ?? 0))];
    const told = [message?.channel ?? '', message?.text ?? '', endsEpoch ? '1' : ''];
    const reply = await scripts.chatfilesMerge(keys.length, ...keys, ...facts, ...first, ...told, shiftMs());
    const [now, run = '', ...rest] = reply;
    const [isAccepted, isProven, isRefused, about = '', firstSeen] = rest;
    return {
      now: Number(now),
      epoch: run,
      accepted: Number(isAccepted),
      proven: Number(isProven),
      refused: Number(isRefused),
      about,
      firstSeen: Number(firstSeen),
    };
  };
}

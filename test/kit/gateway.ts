import { onTestFinished } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { createEmulator, type Emulator, type EmulatorInput } from '../../src/emulator/emulator.ts';
import { createGateway, type Gateway } from '../../src/gateway.ts';
import type { Notice } from '../../src/notice.ts';
import type { Summary } from '../../src/server/summarize.ts';
import type { FollowWorld } from '../../src/upstream/follow.ts';

/** A running gateway, the emulator behind it, the summaries of the exchanges and the notices so far. */
export type Running = { gateway: Gateway; emulator: Emulator; summaries: Summary[]; notices: Told[] };

/** What the operator was told. */
export type Told = { level: string; message: string; details: object | undefined };

/** What a test may choose: keys as `path=value`, the emulator's options, another upstream, clock or world of redirects. */
export type RunOptions = {
  set?: string[];
  emulator?: EmulatorInput;
  upstreamUrl?: string;
  clock?: Clock;
  storage?: FollowWorld;
};

/** Starts emulator and gateway on free ports for one test, and closes them after it. */
export async function startGateway({
  set = [],
  emulator: input = {},
  upstreamUrl,
  clock,
  storage,
}: RunOptions = {}): Promise<Running> {
  const emulator = await createEmulator(input);
  onTestFinished(() => emulator[Symbol.asyncDispose]());
  const flags = [
    'listen.port=0',
    'admin.port=0',
    // All clients of a test are one address; those that are about the limit set their own.
    'clientLimit.requests=1000000',
    `upstream.url=${upstreamUrl ?? emulator.url}`,
    ...set,
  ];
  const { config } = await loadConfig({ env: {}, set: flags });
  const summaries: Summary[] = [];
  const record = (summary: Summary) => void summaries.push(summary);
  const notices: Told[] = [];
  const notice: Notice = (level, message, details) => void notices.push({ level, message, details });
  const gateway = await createGateway(config, {
    record,
    notice,
    ...(clock ? { clock } : {}),
    ...(storage ? { storage } : {}),
  });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { gateway, emulator, summaries, notices };
}

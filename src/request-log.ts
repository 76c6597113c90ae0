/**
 * The log's line of each request, made fast: hundreds a second are the same few fields with other numbers.
 *
 * A request that went well has nothing in its record that a client could fill but the name of its app, and that is
 * cleaned and remembered. Everything else goes the way of all records. Lines are written together, a few times a second
 * or before any other line, so that the order stays and the last words of a process are not lost.
 */
import type { Clock } from './clock.ts';
import type { LineSink } from './logger.ts';
import { scrubText } from './scrub.ts';

/** What a line is made from: numbers, words of closed sets, an address, and the name of an app. */
export type RequestRecord = Readonly<Record<string, string | number | undefined>> & {
  app: string | undefined;
  error: string | undefined;
};

/** Lines that wait to be written together. */
export type LineBuffer = LineSink & {
  /** Takes a line that may wait. */
  later(line: string): void;
  flush(): void;
};

const FLUSH_BYTES = 16 * 1024;
const FLUSH_MS = 50;
const MAX_NAMES = 1000;

/** Puts lines together in front of a sink; a line that may not wait goes out behind those that did. */
export function bufferLines(sink: LineSink, clock: Clock): LineBuffer {
  let waiting = '';
  let cancelTimer: (() => void) | undefined;
  const flush = () => {
    cancelTimer?.();
    cancelTimer = undefined;
    if (waiting === '') return;
    const lines = waiting;
    waiting = '';
    sink.write(lines);
  };
  return {
    later(line) {
      waiting += line;
      if (waiting.length >= FLUSH_BYTES) flush();
      else cancelTimer ??= clock.after(FLUSH_MS, flush);
    },
    write(line) {
      flush();
      sink.write(line);
    },
    flush,
  };
}

/** Makes the function that writes the lines of requests that went well, while lines of their level are written. */
export function createRequestLog(
  isOn: () => boolean,
  lines: LineBuffer,
  { now }: Pick<Clock, 'now'>,
): (record: RequestRecord) => void {
  const names = new Map<string, string>();
  const clean = (name: string): string => {
    const known = names.get(name);
    if (known !== undefined) return known;
    if (names.size >= MAX_NAMES) names.clear();
    const scrubbed = scrubText(name);
    names.set(name, scrubbed);
    return scrubbed;
  };
  let second = 0;
  let start = '';
  return (record) => {
    if (!isOn()) return;
    const at = now();
    // Of the time, only the milliseconds change from line to line.
    if (Math.floor(at / 1000) !== second) {
      second = Math.floor(at / 1000);
      start = `{"level":"info","time":"${new Date(second * 1000).toISOString().slice(0, 20)}`;
    }
    const app = record.app === undefined ? undefined : clean(record.app);
    const fields = JSON.stringify({ ...record, app }).slice(1);
    lines.later(`${start}${String(at % 1000).padStart(3, '0')}Z","msg":"request",${fields}\n`);
  };
}

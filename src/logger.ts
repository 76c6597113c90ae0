/**
 * The log: pino, with a last step in which no record can be anything but one short line without secrets.
 */
import { pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { z } from 'zod';
import { cleanLine, showControls } from './log-line.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const FORMATS = ['auto', 'json', 'pretty'] as const;

/** What is logged, and in which form. */
export const logSchema = z.strictObject({
  level: z
    .enum(LEVELS, { error: `must be one of ${LEVELS.join(', ')}` })
    .default('info')
    .describe('The least important level that is logged: trace, debug, info, warn, error, fatal, or silent for none.')
    .meta({ reload: true }),
  format: z
    .enum(FORMATS, { error: `must be one of ${FORMATS.join(', ')}` })
    .default('auto')
    .describe('json: one JSON object a line; pretty: for people; auto: pretty on a terminal, json elsewhere.'),
});

/** What is logged, and in which form. */
export type LogConfig = z.output<typeof logSchema>;

/** Where lines go: a stream, or a test's list. */
export type LineSink = { write(line: string): unknown };

/** The log, as the rest of the gateway sees it. */
export type Logger = pino.Logger;

/**
 * Creates the log. Every record, whoever wrote it, leaves as one line of at most 2 KB that holds no secrets; on a
 * terminal it is then made readable. Without a sink, lines go to the standard output at once, so that the last words
 * of a process are not lost.
 */
export function createLogger({ level, format }: LogConfig, sink?: LineSink): Logger {
  const isTerminal = sink === undefined && process.stdout.isTTY;
  const isPretty = showsPretty(format, isTerminal);
  const out = sink ?? standardOutput();
  const show = isPretty ? createPrettifier(isTerminal) : (line: string) => line;
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: pino.stdSerializers.errWithCause },
    formatters: { level: (label: string) => ({ level: label }), log: withErrors },
  };
  return pino(options, { write: (line: string) => void out.write(show(cleanLine(line))) });
}

/** Where lines go that are not for a test: written at once, to the standard output or to another descriptor. */
export const standardOutput = (fd: number = process.stdout.fd): LineSink => pino.destination({ dest: fd, sync: true });

/** Whether lines are made readable for people. */
export const showsPretty = (format: LogConfig['format'], isTerminal: boolean): boolean =>
  format === 'pretty' || (format === 'auto' && isTerminal);

/** JSON sees no fields in an Error: without this, one under any key but `err` would be an empty object. */
const withErrors = (record: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(record).map(([name, value]) => [
      name,
      value instanceof Error && name !== 'err' ? pino.stdSerializers.errWithCause(value) : value,
    ]),
  );

/** Lines for people: also here one record is one line, whatever it holds. */
function createPrettifier(colorize: boolean): (line: string) => string {
  const prettify = prettyFactory({
    colorize,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    errorLikeObjectKeys: [],
  });
  // Through JSON once more: the prettifier writes texts as they are, and a terminal obeys what it reads.
  return (line) =>
    prettify(JSON.parse(line, (_, value: unknown) => (typeof value === 'string' ? showControls(value) : value)));
}

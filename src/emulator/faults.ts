import { validateHeaderName, validateHeaderValue } from 'node:http';
import { z } from 'zod';
import type { Interface } from './record.ts';

const targeting = {
  /** How many requests it is played on; without `times` and `forMs`, until the faults are cleared. */
  times: z.number().int().min(1).optional(),
  /** For how long, from now. */
  forMs: z.number().min(1).optional(),
  /** How many matching requests are let pass first. */
  after: z.number().int().min(0).optional(),
  match: z
    .strictObject({
      method: z.string().min(1).toUpperCase().optional(),
      interface: z.enum(['upload', 'download', 'thumbnail', 'token', 'users', 'other']).optional(),
    })
    .optional(),
};

const DAY_MS = 86_400_000;
const milliseconds = z.number().min(0).max(DAY_MS);
const byteCount = z.number().int().min(0).optional();
// A status of 1xx is no answer: the client would go on waiting for one.
const status = z.number().int().min(200).max(599);

const isHeader = (name: string, value: string): boolean => {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
};

const headers = z
  .record(z.string(), z.string())
  .refine(
    (given) => Object.entries(given).every(([name, value]) => isHeader(name, value)),
    'holds a name or a value that HTTP does not allow',
  );

// A URL parser forgives line breaks and other letters; a header does not.
const location = z
  .string()
  .refine((value) => isHeader('location', value) && URL.canParse(value, 'http://localhost'), 'is no URL');

/** Text is sent as it is, anything else as JSON; without a body the cloud's error shape is sent. */
const body = z.union([z.string(), z.record(z.string(), z.json()), z.array(z.json())]).optional();

/** `start`: nothing is done. `unanswered`: the work is done, the answer withheld. `middle`: a part of the answer is sent. */
const where = z.enum(['start', 'unanswered', 'middle']).optional();

/** Every fault that can be played, checked alike over HTTP and in the process. */
export const faultSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unavailable'), retryAfterSeconds: milliseconds.optional(), ...targeting }),
  z.strictObject({ kind: z.literal('status'), status, headers: headers.optional(), body, ...targeting }),
  z.strictObject({ kind: z.literal('latency'), ms: milliseconds, jitterMs: milliseconds.optional(), ...targeting }),
  z.strictObject({ kind: z.literal('hang'), where, afterBytes: byteCount, ...targeting }),
  z.strictObject({ kind: z.literal('reset'), where, afterBytes: byteCount, ...targeting }),
  z.strictObject({ kind: z.literal('truncate'), afterBytes: byteCount, ...targeting }),
  z.strictObject({
    kind: z.literal('wrong-length'),
    /** How far Content-Length is off. */
    by: z.number().int().min(-1_000_000_000).max(1_000_000_000),
    ...targeting,
  }),
  z.strictObject({
    kind: z.literal('redirect'),
    location,
    status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).optional(),
    ...targeting,
  }),
  z.strictObject({
    kind: z.literal('early-answer'),
    status: status.optional(),
    headers: headers.optional(),
    body,
    /** How much of the request body is read before the answer; 0 answers at the head. */
    afterBytes: byteCount,
    /** What becomes of the rest of the request body. */
    rest: z.enum(['read', 'ignore', 'reset']).optional(),
    ...targeting,
  }),
  z.strictObject({ kind: z.literal('keep-alive'), ms: milliseconds, ...targeting }),
]);

/** One fault, and which requests it is for. */
export type Fault = z.input<typeof faultSchema>;

/** What is played on one request: any delay and keep-alive, and at most one fault of another kind. */
export type FaultPlan = {
  delayMs: number;
  keepAliveMs: number | undefined;
  fault: Exclude<z.output<typeof faultSchema>, { kind: 'latency' | 'keep-alive' }> | undefined;
  /** For the record. */
  kind: string | undefined;
};

/** The faults that wait for their requests. */
export type Faults = {
  add(fault: Fault): void;
  clear(): void;
  list(): Fault[];
  plan(method: string, wanted: Interface): FaultPlan;
};

type Pending = { fault: z.output<typeof faultSchema>; until: number; left: number; toSkip: number };

/** Starts without any fault. */
export function createFaults(now: () => number, random: () => number = Math.random): Faults {
  let pending: Pending[] = [];

  const isOver = ({ until, left }: Pending): boolean => left <= 0 || now() >= until;

  const take = (entry: Pending): void => {
    entry.left -= 1;
  };

  return {
    add(given) {
      const fault = faultSchema.parse(given);
      const { times = Infinity, forMs = Infinity, after = 0 } = fault;
      pending.push({ fault, until: now() + forMs, left: times, toSkip: after });
    },
    clear() {
      pending = [];
    },
    list() {
      pending = pending.filter((entry) => !isOver(entry));
      return pending.map(({ fault, left }) => (left === Infinity ? fault : { ...fault, times: left }));
    },
    plan(method, wanted) {
      pending = pending.filter((entry) => !isOver(entry));
      const plan: FaultPlan = { delayMs: 0, keepAliveMs: undefined, fault: undefined, kind: undefined };
      for (const entry of pending) {
        const { fault } = entry;
        if (!matches(fault, method, wanted)) continue;
        if (entry.toSkip > 0) {
          entry.toSkip -= 1;
          continue;
        }
        if (fault.kind === 'latency') plan.delayMs += fault.ms + random() * (fault.jitterMs ?? 0);
        else if (fault.kind === 'keep-alive') plan.keepAliveMs = fault.ms;
        else if (plan.fault === undefined) plan.fault = fault;
        // One that is already played on this request leaves this one for the next.
        else continue;
        plan.kind = plan.fault?.kind ?? fault.kind;
        take(entry);
      }
      return plan;
    },
  };
}

const matches = ({ match }: z.output<typeof faultSchema>, method: string, wanted: Interface): boolean =>
  (match?.method === undefined || match.method === method) &&
  (match?.interface === undefined || match.interface === wanted);

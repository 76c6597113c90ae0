/** What an entry is found by: an app as `org/app`, a file of it, and which of the file's forms. */
export type CacheKey = { app: string; file: string; variant: string };

/** What an erasure reaches: one entry, all of a file, all of an app, or everything. */
export type Selector =
  | CacheKey
  | { app: string; file: string; variant?: undefined }
  | { app: string; file?: undefined; variant?: undefined }
  | { app?: undefined; file?: undefined; variant?: undefined };

/** What is kept: when it was stored (ms since the epoch), some fields about it, and its bytes. */
export type Entry = { storedAt: number; fields: Readonly<Record<string, string>>; body: Buffer };

/** The names in a selector, from the widest to the narrowest. */
export function partsOf({ app, file, variant }: Selector): string[] {
  if (app === undefined) return [];
  if (file === undefined) return [app];
  return variant === undefined ? [app, file] : [app, file, variant];
}

/** The selector that parts are the names in; undefined if they are none. */
export function selectorOf(parts: unknown): Selector | undefined {
  if (!Array.isArray(parts) || parts.length > 3 || !parts.every((part) => typeof part === 'string')) return undefined;
  const [app, file, variant]: (string | undefined)[] = parts;
  if (app === undefined) return {};
  if (file === undefined) return { app };
  return variant === undefined ? { app, file } : { app, file, variant };
}

/** Whether a selector names one entry. */
export const isKey = (selector: Selector): selector is CacheKey => selector.variant !== undefined;

/** A key or a selector as a text that cannot be read in two ways. */
export const textOf = (selector: Selector): string => JSON.stringify(partsOf(selector));

/** Whether all that `narrow` reaches is reached by `wide`, too. */
export function covers(wide: Selector, narrow: Selector): boolean {
  if (wide.app === undefined) return true;
  if (wide.app !== narrow.app) return false;
  if (wide.file === undefined) return true;
  if (wide.file !== narrow.file) return false;
  return wide.variant === undefined || wide.variant === narrow.variant;
}

/** The bytes of an entry's body and fields. */
export function bytesOf({ fields, body }: Entry): number {
  let bytes = body.length;
  for (const [name, value] of Object.entries(fields)) bytes += name.length + value.length;
  return bytes;
}

/** Whether an entry has lived for longer than it may. */
export const isExpired = ({ storedAt }: Pick<Entry, 'storedAt'>, lifetimeMs: number, now: number): boolean =>
  now - storedAt >= lifetimeMs;

/** The entry, with its body copied if it is a small piece of a large buffer: that would all be kept, and not counted. */
export function withOwnBytes(entry: Entry): Entry {
  const { body } = entry;
  if (body.buffer.byteLength <= 2 * body.length + FREE_BYTES) return entry;
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return { ...entry, body: copy };
}

const FREE_BYTES = 1024;

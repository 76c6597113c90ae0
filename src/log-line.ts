/**
 * The last step of a log record: whatever was logged, it leaves as one line of JSON, small and without secrets.
 */
import { isSecretName, REDACTED, scrubText } from './scrub.ts';

/** The longest line in bytes, its end included; a collector that cuts lines would leave half a record, which is no JSON. */
export const MAX_LINE_BYTES = 2048;

/** How much of a record is looked at, in characters: more of it could not be shown, and would only take time. */
const MAX_WORK = 65_536;
const MAX_DEPTH = 8;

/** Ever tighter: the characters of a text, and the entries of an object or list, until the line is short enough. */
const FITS = [
  { characters: 1500, entries: 100 },
  { characters: 400, entries: 40 },
  { characters: 120, entries: 20 },
  { characters: 64, entries: 6 },
] as const;

type Fit = (typeof FITS)[number];

/** What JSON can hold. */
type Json = string | number | boolean | null | Json[] | JsonObject;
type JsonObject = { [name: string]: Json };

// What a terminal or a viewer would obey: C0 and C1 controls, further line ends, and marks that turn the direction.
// oxlint-disable-next-line no-control-regex -- they are looked for to be escaped
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Cleans a serialised record; what is no JSON becomes the message of a record that is. */
export function cleanLine(line: string): string {
  const { level = 'error', time = null, msg = '', ...rest } = parse(line.trimEnd());
  // What comes first is kept longest: the message must not be what falls to the limit.
  const clean = scrub({ level, time, msg, ...rest });
  for (const fit of FITS) {
    const text = toLine(shorten(clean, fit));
    if (Buffer.byteLength(text) <= MAX_LINE_BYTES) return text;
  }
  return toLine(shorten(scrub({ level, time, msg: typeof msg === 'string' ? msg : '', cut: true }), FITS[3]));
}

/** Shows line ends and control characters instead of obeying them, for lines that a terminal prints. */
export const showControls = (text: string): string => text.replaceAll(CONTROLS, escapeSign);

const toLine = (value: Json): string => `${JSON.stringify(value).replaceAll(CONTROLS, escapeSign)}\n`;

/** JSON's own escape, also for the signs that JSON leaves as they are. */
function escapeSign(sign: string): string {
  const escaped = JSON.stringify(sign).slice(1, -1);
  return escaped === sign ? String.raw`\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped;
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parse(line: string): JsonObject {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value)) return value;
  } catch {
    // A serializer that writes no JSON: its text is still worth a record.
  }
  return { msg: line };
}

/** A copy without secrets, without what lies too deep, and without what is beyond the work that one record is worth. */
function scrub(record: JsonObject): Json {
  let left = MAX_WORK;

  const text = (value: string): string => {
    const room = left;
    left = Math.max(0, left - value.length - 8);
    if (value.length <= room) return scrubText(value);
    // A secret that the cut goes through may have lost its shape: the broken word goes too.
    const start = value.slice(0, room);
    return `${scrubText(start.slice(0, Math.max(0, start.search(/\s\S*$/))))}…`;
  };

  const visit = (value: Json, name: string, depth: number): Json => {
    left = Math.max(0, left - 8);
    if (value === null || typeof value === 'boolean') return value;
    if (isSecretName(name)) return REDACTED;
    if (typeof value === 'number') return value;
    if (typeof value === 'string') return isDigest(name, value) ? value : text(value);
    if (depth >= MAX_DEPTH || left === 0) return '…';
    return Array.isArray(value) ? list(value, depth + 1) : object(value, depth + 1);
  };

  /** Header lists come as name, value, name, value…: behind a secret's name stands the secret. */
  const list = (items: Json[], depth: number): Json[] => {
    const clean: Json[] = [];
    let name = '';
    for (const item of items) {
      if (left === 0) return [...clean, '…'];
      clean.push(visit(item, name, depth));
      name = name === '' && typeof item === 'string' && item.length <= 64 && isSecretName(item) ? item : '';
    }
    return clean;
  };

  const object = (fields: JsonObject, depth: number): JsonObject => {
    const clean: [string, Json][] = [];
    for (const [name, value] of Object.entries(fields)) {
      if (left === 0) return Object.fromEntries([...clean, ['…', '…']]);
      clean.push([showControls(text(name)), visit(value, name, depth)]);
    }
    return Object.fromEntries(clean);
  };

  return visit(record, '', 0);
}

/** A digest of a secret is there to be compared by people; it has the shape of one, but tells nothing. */
const isDigest = (name: string, value: string): boolean => /sha256$/i.test(name) && /^[0-9a-f]{64}$/.test(value);

function shorten(value: Json, fit: Fit): Json {
  if (typeof value === 'string') {
    return value.length <= fit.characters ? value : `${value.slice(0, fit.characters - 1)}…`;
  }
  if (Array.isArray(value)) {
    const kept = value.slice(0, fit.entries).map((item) => shorten(item, fit));
    return value.length <= fit.entries ? kept : [...kept, '…'];
  }
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  const kept = entries
    .slice(0, fit.entries)
    .map(([name, field]): [string, Json] => [name.slice(0, fit.characters), shorten(field, fit)]);
  return Object.fromEntries(entries.length <= fit.entries ? kept : [...kept, ['…', '…']]);
}

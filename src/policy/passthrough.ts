/**
 * What else may go through, beside the files: paths that the operator names, one pattern each.
 *
 * As with files, the raw target is read once, and what goes upstream is what was judged. Percent-encodings may stand in
 * these paths (users' names), but only of characters that need one: an encoded letter, dot or slash would be another path
 * to whoever decodes it. What has bodies that must be judged by their own rule (a login, a shared file, a part of a file)
 * is told apart here, and nothing that only looks like it in another reader's eyes is let through.
 */
import { type Denial, deny } from './decision.ts';
import { NAME, ORIGIN, QUERY } from './target.ts';

/** What a sibling of the files is, as far as its path tells: which rule its requests go by. */
export type SiblingKind = 'token' | 'share-files' | 'share-file' | 'part-uploads' | 'part-upload' | 'parts' | 'other';

/** A path that may go through. `app` is absent where it belongs to none; `id` names what it is about, where that matters. */
export type Sibling = {
  kind: SiblingKind;
  app: { org: string; app: string } | undefined;
  id: string;
  /** As it goes upstream. */
  path: string;
  query: string;
};

/** Reads a raw target that is no file's: undefined when the operator has not named it. */
export type Passthrough = (raw: string) => Sibling | Denial | undefined;

/** What begins with `sdk/chatfiles` is a way to put files together, which no wildcard opens. */
const PARTS = ['sdk', 'chatfiles'];
const PART_UPLOAD = [...PARTS, 'part-upload'];
const PART_ID = /^[A-Za-z0-9_-]{1,64}$/;

const MAX_PATH = 1024;
const MAX_SEGMENTS = 16;
const SEGMENT = String.raw`(?:[A-Za-z0-9._~,-]|%[0-9A-Fa-f]{2}){1,512}`;
const PATH = new RegExp(String.raw`^${ORIGIN}((?:/${SEGMENT}){1,${MAX_SEGMENTS}})$`);
const NAMES = new RegExp(String.raw`^/(${NAME})/(${NAME})/`);

/**
 * What the upstream (a Usergrid) has at these places is no org and no app: another way to the same apps, past the list of
 * destinations, or its administration. They go through only where the operator names the whole path.
 */
const NO_APPS = new Set(['applications', 'apps', 'app']);
const NO_ORGS = new Set([...NO_APPS, 'api', 'easemob', 'management', 'system', 'organizations', 'orgs', 'org']);

type Pattern = { prefix: string[]; hasApp: boolean; below: string[] };

/** Makes the reader of patterns such as `token`, `users/**` or `/api/sdk/v1/{org}/{app}/speech/*`. */
export function createPassthrough(patterns: readonly string[]): Passthrough | undefined {
  if (patterns.length === 0) return undefined;
  // Those that name the whole path first: what they name is not to be read as an org and its app.
  const rules = patterns.map(readPattern).toSorted((a, b) => b.prefix.length - a.prefix.length);
  return (raw) => {
    const mark = raw.indexOf('?');
    const query = mark === -1 ? '' : raw.slice(mark + 1);
    const path = PATH.exec(mark === -1 ? raw : raw.slice(0, mark))?.[1];
    if (path === undefined || path.length > MAX_PATH) return undefined;
    const segments = path.split('/').slice(1);
    if (!segments.every(isPlain)) return undefined;
    const found = matchOf(rules, path, segments);
    if (!found) return undefined;
    if (!QUERY.test(query)) return deny('REQUEST_MALFORMED', 'the query has characters that must be encoded');
    return { ...found, path, query };
  };
}

function matchOf(rules: readonly Pattern[], path: string, segments: string[]) {
  for (const { prefix, hasApp, below } of rules) {
    if (prefix.some((name, i) => segments[i] !== name)) continue;
    if (!hasApp) {
      if (segments.length === prefix.length) return { kind: loginOr(segments), app: undefined, id: '' };
      continue;
    }
    const within = prefix.length === 0 ? path : path.slice(prefix.join('/').length + 1);
    const [, org = '', app = ''] = NAMES.exec(within) ?? [];
    if (org === '' || NO_APPS.has(app) || (prefix.length === 0 && NO_ORGS.has(org))) continue;
    const rest = segments.slice(prefix.length + 2);
    const what = judge(rest);
    if (!what || !matches(below, rest, what.isPart)) continue;
    return { kind: what.kind, app: { org, app }, id: what.id };
  }
  return undefined;
}

const loginOr = (segments: readonly string[]): SiblingKind => (segments.at(-1) === 'token' ? 'token' : 'other');

/** What lies at a place below an app; undefined for what has another rule, or looks as if it had one. */
function judge(rest: readonly string[]): { kind: SiblingKind; id: string; isPart: boolean } | undefined {
  const lower = rest.map((segment) => segment.toLowerCase());
  const [first, second = '', third] = lower;
  const isFolded = rest.some((segment, i) => segment !== lower[i]);
  if (first === 'token') {
    return rest.length === 1 && !isFolded ? { kind: 'token', id: '', isPart: false } : undefined;
  }
  // Files themselves have addresses of their own. The probe for known content names none.
  if (first === 'chatfiles') {
    const isProbe = rest.length === 2 && rest[0] === 'chatfiles' && rest[1] === 'exists';
    return isProbe ? { kind: 'other', id: '', isPart: false } : undefined;
  }
  if (first === 'sdk' && second === 'chatfiles') return judgeParts(rest);
  if (/^chat(?:groups|rooms)$/.test(first ?? '') && third === 'share_files') {
    if (rest[0] !== first || rest[2] !== third || rest.length > 4) return undefined;
    return { kind: rest.length === 3 ? 'share-files' : 'share-file', id: rest[3] ?? '', isPart: false };
  }
  return { kind: 'other', id: '', isPart: false };
}

function judgeParts(rest: readonly string[]): { kind: SiblingKind; id: string; isPart: boolean } | undefined {
  const [, , , id = '', list] = rest;
  if (PART_UPLOAD.some((name, i) => rest[i] !== name) || rest.length > 5) return undefined;
  if (rest.length === 3) return { kind: 'part-uploads', id, isPart: true };
  if (!PART_ID.test(id)) return undefined;
  if (rest.length === 4) return { kind: 'part-upload', id, isPart: true };
  return list === 'parts' ? { kind: 'parts', id, isPart: true } : undefined;
}

/** Whether a pattern's part below the app names this; a file in parts is named by its own name alone. */
function matches(pattern: readonly string[], rest: readonly string[], isPart: boolean): boolean {
  if (isPart && PART_UPLOAD.some((name, i) => pattern[i] !== name)) return false;
  const isOpen = pattern.at(-1) === '**';
  const named = isOpen ? pattern.slice(0, -1) : pattern;
  if (isOpen ? rest.length < named.length : rest.length !== named.length) return false;
  return named.every((name, i) => name === '*' || name === rest[i]);
}

/** Whether a segment reads the same to whoever decodes it and to whoever does not: it stays one segment, and no dots. */
function isPlain(segment: string): boolean {
  if (segment === '.' || segment === '..') return false;
  try {
    return (segment.match(/(?:%..)+/g) ?? []).every((run) => !NEEDS_NO_ENCODING.test(decodeURIComponent(run)));
  } catch {
    return false;
  }
}

/** Letters, digits and marks that stand for themselves; separators of paths, queries and parameters; controls; `%` itself. */
const NEEDS_NO_ENCODING = /[A-Za-z0-9._~/\\%;?#-]|\p{Cc}/u;

function readPattern(text: string): Pattern {
  const isWhole = text.startsWith('/');
  const names = text.split('/').slice(isWhole ? 1 : 0);
  const at = names.indexOf('{org}');
  if (!isWhole) return { prefix: [], hasApp: true, below: names };
  return at === -1
    ? { prefix: names, hasApp: false, below: [] }
    : { prefix: names.slice(0, at), hasApp: true, below: names.slice(at + 2) };
}

const LITERAL = String.raw`(?!\.{1,2}(?:/|$))[A-Za-z0-9._~,-]{1,128}`;
const BELOW = String.raw`(?:\*\*|(?:${LITERAL}|\*)(?:/(?:${LITERAL}|\*))*(?:/\*\*)?)`;
const PATTERN = new RegExp(String.raw`^(?:${BELOW}|(?:/${LITERAL})+(?:/\{org\}/\{app\}/${BELOW})?)$`);

/** Whether a pattern names one place that is never let through: a file's, or another spelling of what has a rule of its own. */
export function isNeverReached(text: string): boolean {
  const { hasApp, below } = readPattern(text);
  if (!hasApp || below.some((name) => name.startsWith('*'))) return false;
  const what = judge(below);
  return !what || !matches(below, below, what.isPart);
}

/** Whether this is a pattern that can be read. */
export const isPassthroughPattern = (text: string): boolean => text.length <= 512 && PATTERN.test(text);

/**
 * Reads the configuration file: YAML, with the line and column of every value, so that a mistake can be pointed at.
 */
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type YAMLError } from 'yaml';
import { type Key, sectionsOf } from './keys.ts';
import { type Place, type Problem, showName } from './problems.ts';
import { type Source, unknownKey } from './sources.ts';
import { readTextFile } from '../text-file.ts';

/** What the file holds; `broken` when it could not be read to its end, so that nothing can be missed in it. */
export type FileSource = Source & { broken: boolean };

const RULES = { maxBytes: 1024 * 1024, maxText: '1MB' };

const ALIAS = 'an alias (*name) without its anchor (&name); quote a text that begins with a star';
const PLAIN_NAME = 'a key is not a plain name';

// The parser's own messages quote the file, and what they quote may be a secret.
const SYNTAX: Record<string, string> = {
  BAD_ALIAS: ALIAS,
  BAD_COLLECTION_TYPE: 'a tag does not fit what follows it',
  BAD_DQ_ESCAPE: 'an unknown escape within double quotes; use single quotes, or write \\\\ for a backslash',
  BAD_INDENT: 'the indentation does not fit the lines around it, or a bracket above is not closed',
  BAD_SCALAR_START: 'a text begins with a character that YAML keeps for itself; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a key stands where only a value can; check the indentation, or quote a text with a colon',
  DUPLICATE_KEY: 'the key was given before in the same section; keep one of them',
  MISSING_CHAR: 'a character is missing: a closing quote or bracket, a comma, or the space behind a colon',
  MULTILINE_IMPLICIT_KEY: 'a key goes over several lines; is a colon missing?',
  MULTIPLE_DOCS: 'a second document begins (---); the file may hold one',
  NON_STRING_KEY: PLAIN_NAME,
  TAB_AS_INDENT: 'a tab is used to indent; use spaces',
  TAG_RESOLVE_FAILED: 'an unknown tag (!name); quote the text if it begins with an exclamation mark',
  UNEXPECTED_TOKEN: 'something that does not belong here; check quotes, brackets and indentation',
};

/** Reads the file and finds the values of known keys; whatever is wrong becomes a problem, nothing is thrown. */
export async function readConfigFile(file: string, keys: readonly Key[]): Promise<FileSource> {
  const read = await readTextFile(file, RULES);
  if ('text' in read) return readConfigText(read.text, file, keys);
  const place: Place = { text: file === '' ? '--config ""' : file, source: 'file', order: 0 };
  const problem: Problem = { place, path: '', message: read.problem };
  return { settings: [], problems: [problem], broken: true };
}

function readConfigText(text: string, file: string, keys: readonly Key[]): FileSource {
  const lineCounter = new LineCounter();
  // Pretty errors would quote the file. Any quieter log level, and a second document would pass in silence.
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error' });
  const source: FileSource = { settings: [], problems: [], broken: false };
  const byPath = new Map(keys.map((key) => [key.path, key]));
  const sections = sectionsOf(keys);

  const placeAt = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { text: `${file}:${line}:${col}`, source: 'file', order: offset, line, column: col };
  };
  const placeOf = (node: unknown, otherwise: Place): Place => {
    const start = isNode(node) ? node.range?.[0] : undefined;
    return start === undefined ? otherwise : placeAt(start);
  };
  const complain = (place: Place, path: string, message: string) => source.problems.push({ place, path, message });
  const tellSyntax = (error: YAMLError) =>
    complain(placeAt(error.pos[0]), '', SYNTAX[error.code] ?? 'this is not valid YAML');

  const readSection = (node: unknown, path: string, place: Place): void => {
    const section = isAlias(node) ? node.resolve(document) : node;
    if (section === null || section === undefined || (isScalar(section) && section.value === null)) return;
    if (!isMap(section)) {
      const names = keys.filter((key) => path === '' || key.path.startsWith(`${path}.`)).map((key) => key.path);
      const message =
        path === ''
          ? 'must hold sections and keys, like config/default.yaml'
          : `is a section; its keys (${names.join(', ')}) stand below it, indented, each with a colon and a space behind its name`;
      complain(placeOf(section, place), path, message);
      return;
    }
    for (const { key: nameNode, value } of section.items) {
      const found = placeOf(nameNode, place);
      if (!isScalar(nameNode)) {
        complain(found, path, PLAIN_NAME);
        continue;
      }
      const name = String(nameNode.value);
      readValue(value, path === '' ? name : `${path}.${name}`, name, found);
    }
  };

  const readValue = (node: unknown, path: string, name: string, place: Place): void => {
    const key = byPath.get(path);
    if (name.includes('.') && (key || sections.has(path))) {
      const steps = path.split('.').join(':" and below it, indented, "');
      complain(place, showName(path), `levels are not joined by a point in this file; write "${steps}:"`);
    } else if (sections.has(path)) {
      readSection(node, path, place);
    } else if (key && !canFollow(node)) {
      complain(placeOf(node, place), path, ALIAS);
      source.broken = true;
    } else if (key) {
      const list = isSeq(node) ? { items: node.items.map((item) => placeOf(item, place)) } : {};
      source.settings.push({ key, value: plain(node), place, ...list });
    } else {
      complain(place, showName(path), unknownKey(path, keys));
    }
  };

  const plain = (node: unknown): unknown => (isNode(node) ? (node.toJS(document) as unknown) : null) ?? null;

  /** Not so an alias to nothing, nor more of them than a configuration needs. */
  const canFollow = (node: unknown): boolean => {
    try {
      plain(node);
      return true;
    } catch {
      return false;
    }
  };

  for (const error of [...document.errors, ...document.warnings]) tellSyntax(error);
  source.broken = document.errors.some((error) => error.code !== 'DUPLICATE_KEY');
  if (!source.broken) readSection(document.contents, '', placeAt(0));
  return source;
}

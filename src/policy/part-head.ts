import { type Denied, malformed } from './content-type.ts';
import { unpercent } from './name-readings.ts';
import { type Parameter, type Parameterized, readParameters, readParametersWithoutEscapes } from './parameters.ts';

/** Whether a part is the file, and every name for it that somebody may read in its head. */
export type PartHead = { isFile: boolean; fileNames: string[] };

/**
 * Tells from a part's header lines (each ended by CRLF) whether the part is the file.
 *
 * It is when its one Content-Disposition is `form-data` with one `name`, and that is exactly the one that is looked for. A head that
 * parsers in use read differently is refused: a body must not hold one file for us and another one for the upstream. So is
 * a part that says its bytes are packed: some readers unpack them.
 */
export function readPartHead(head: string, field = 'file'): PartHead | Denied {
  // Folded lines (RFC 5322 §2.2.3) are joined again; after that a CR, LF or NUL is nothing a header line may hold.
  const lines = head
    .replaceAll(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .slice(0, -1);
  let disposition: string | undefined;
  const types: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(line.slice(0, Math.max(colon, 0)))) {
      return malformed('a line of a part head is no header');
    }
    if (/[\r\n\0]/.test(line)) return malformed('a part head holds a bare CR, LF or NUL');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1);
    if (name === 'content-encoding') return malformed('a part has a content coding');
    if (name === 'content-transfer-encoding' && !PLAIN.test(value)) return malformed('a part has a transfer encoding');
    // Some readers take such a part apart, and find files in it.
    if (name === 'content-type' && /^[ \t]*multipart\/mixed\b/i.test(value))
      return malformed('a part holds other parts');
    if (name === 'content-type') types.push(value);
    if (name !== 'content-disposition') continue;
    if (disposition !== undefined) return malformed('a part has two Content-Dispositions');
    disposition = value;
  }
  if (disposition === undefined) return { isFile: false, fileNames: [] };
  const isFile = isDisposedAs(disposition, field);
  if (isFile !== true) return isFile || { isFile, fileNames: [] };
  // Mail has the name of a file in its type, too.
  const names = [...fileNamesIn(disposition, 'filename'), ...types.flatMap((type) => fileNamesIn(type, 'name'))];
  return { isFile, fileNames: [...new Set(names)] };
}

/** The transfer encodings (RFC 2045 §6) that leave the bytes as they are; nobody needs quotes or comments here. */
const PLAIN = /^[ \t]*(?:7bit|8bit|binary)[ \t]*$/i;

function isDisposedAs(disposition: string, field: string): boolean | Denied {
  const read = readParameters(disposition);
  if (read === undefined) return malformed('a Content-Disposition cannot be read in one way only');
  if (!/^[ \t]*form-data[ \t]*$/i.test(read.value)) return malformed('a Content-Disposition is not form-data');
  const names = namesIn(read);
  if (names.length > 1) return malformed('a part has two names');
  // RFC 7578 §4.2 forbids the extended form; parsers in use take it for the name all the same.
  if (read.parameters.some(({ name }) => name.startsWith('name*'))) return malformed('a part has an extended name');
  const [name] = names;
  if (name !== undefined && !name.quoted && /[ \t]/.test(name.value)) return malformed('a name needs quotes');
  if (disposition.includes('\\')) {
    // In `filename="a\"; name=file` a reader that knows no escapes sees the filename end, and a name.
    const others = namesIn(readParametersWithoutEscapes(disposition));
    if (others.length !== names.length || others[0]?.value !== name?.value) {
      return malformed('the name of a part depends on how backslashes are read');
    }
  }
  // Usergrid believes a form's token before the header's, and answers a callback with a success whatever came of it.
  if (name && /^(?:access_token|callback)$/i.test(name.value)) return malformed('a part is named like a credential');
  return name?.value === field;
}

/**
 * The names that a header value has in a parameter. RFC 5987 has another form of it, RFC 2231 one in several pieces, and
 * what a backslash does is read in two ways: each reading counts.
 */
function fileNamesIn(text: string, parameter: string): string[] {
  const strict = readParameters(text);
  const other = strict && !text.includes('\\') ? undefined : readParametersWithoutEscapes(text);
  return [strict, other].flatMap((reading) => {
    const given = reading?.parameters ?? [];
    const names = given.flatMap(({ name, value }) => {
      if (name === parameter) return [Buffer.from(value, 'latin1').toString('utf8')];
      return name.startsWith(`${parameter}*`) ? unescapeExtended(value) : [];
    });
    const joined = joinPieces(given, `${parameter}*`);
    return joined === undefined ? names : [...names, ...unescapeExtended(joined)];
  });
}

/** The value of a parameter that comes in pieces (`filename*0`, `filename*1*`), in their order. */
function joinPieces(given: readonly Parameter[], prefix: string): string | undefined {
  const pieces = given.flatMap(({ name, value }) => {
    const number = name.startsWith(prefix) ? /^(\d+)\*?$/.exec(name.slice(prefix.length))?.[1] : undefined;
    return number === undefined ? [] : [{ at: Number(number), value }];
  });
  if (pieces.length < 2) return undefined;
  return pieces
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)
    .join('');
}

/** The value of an extended parameter: a charset, a language, and percent-encoded bytes. Not all see where these begin. */
function unescapeExtended(value: string): string[] {
  const text = Buffer.from(value, 'latin1').toString('utf8');
  return [text.replace(/^[^']*'[^']*'/, ''), text.slice(text.lastIndexOf("'") + 1)].map(unpercent);
}

const namesIn = (read: Parameterized | undefined) => read?.parameters.filter(({ name }) => name === 'name') ?? [];

import { type Denied, malformed } from './content-type.ts';
import { type Parameterized, readParameters, readParametersWithoutEscapes } from './parameters.ts';

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
    if (name !== 'content-disposition') continue;
    if (disposition !== undefined) return malformed('a part has two Content-Dispositions');
    disposition = value;
  }
  return disposition === undefined ? { isFile: false, fileNames: [] } : readDisposition(disposition, field);
}

/** The transfer encodings (RFC 2045 §6) that leave the bytes as they are; nobody needs quotes or comments here. */
const PLAIN = /^[ \t]*(?:7bit|8bit|binary)[ \t]*$/i;

function readDisposition(disposition: string, field: string): PartHead | Denied {
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
  const isFile = name?.value === field;
  return { isFile, fileNames: isFile ? fileNamesIn(disposition, read) : [] };
}

/** RFC 5987 has another form of a name, and what a backslash does is read in two ways: each reading counts. */
function fileNamesIn(disposition: string, read: Parameterized): string[] {
  const readings = disposition.includes('\\') ? [read, readParametersWithoutEscapes(disposition)] : [read];
  const given = readings.flatMap((reading) => reading?.parameters ?? []);
  const names = given.flatMap(({ name, value }) => {
    if (name === 'filename') return [Buffer.from(value, 'latin1').toString('utf8')];
    return name.startsWith('filename*') ? [unescapeExtended(value)] : [];
  });
  return [...new Set(names)];
}

/** The value of an extended parameter: a charset, a language, and percent-encoded bytes. */
function unescapeExtended(value: string): string {
  const bytes = value
    .slice(value.lastIndexOf("'") + 1)
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

const namesIn = (read: Parameterized | undefined) => read?.parameters.filter(({ name }) => name === 'name') ?? [];

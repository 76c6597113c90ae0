/**
 * The extensions of a file's name, and whether the file is what it says.
 */
import { supportedExtensions } from 'file-type';
import { readingsOf } from './name-readings.ts';
import type { Sniffed } from './sniff.ts';

/** The extensions that whoever reads a name may find in it, in lower case; an empty one where a reader finds none. */
export const extensionsOf = (name: string): string[] => [...new Set(readingsOf(name).map(extensionOf))];

function extensionOf(name: string): string {
  // Windows opens `a.exe. .` as a.exe, and to some `a.exe/` and `a.exe/.` are the same.
  const bare = name.replace(/(?<![\\/.\s])[\\/.\s]+$/, '');
  const base = bare.slice(Math.max(bare.lastIndexOf('/'), bare.lastIndexOf('\\')) + 1);
  const dot = base.lastIndexOf('.');
  return dot === -1
    ? ''
    : base
        .slice(dot + 1)
        .trim()
        .toLowerCase();
}

/** What goes by several extensions: each of a line may stand for each other one. */
const ALIKE: readonly (readonly string[])[] = [
  ['jpg', 'jpeg', 'jpe', 'jfif', 'jif'],
  ['png', 'apng'],
  ['tif', 'tiff', 'cr2', 'dng', 'nef', 'arw'],
  ['heic', 'heif', 'hif', 'avif'],
  ['jp2', 'j2k', 'j2c', 'jpx', 'jpm', 'mj2'],
  ['ico', 'cur'],
  ['mp4', 'm4v', 'm4a', 'm4b', 'm4p', 'f4v', 'f4p', 'f4a', 'f4b', 'mov', 'qt', '3gp', '3gpp', '3g2', '3ga', 'aac'],
  ['mkv', 'webm', 'mka', 'weba'],
  ['ogg', 'oga', 'ogv', 'ogm', 'ogx', 'opus', 'spx'],
  ['asf', 'wmv', 'wma'],
  ['mpg', 'mpeg', 'mpe', 'vob', 'mts', 'm2ts', 'ts', 'mp1', 'mp2', 'mp3', 'mpga'],
  ['aif', 'aiff', 'aifc'],
  ['mid', 'midi'],
  ['amr', 'awb'],
  // A container tells what it holds only farther inside, or by its name alone.
  [
    'zip',
    'docx',
    'docm',
    'dotx',
    'dotm',
    'xlsx',
    'xlsm',
    'xltx',
    'xltm',
    'pptx',
    'pptm',
    'potx',
    'potm',
    'ppsx',
    'ppsm',
  ],
  ['zip', 'odt', 'ods', 'odp', 'odg', 'ott', 'ots', 'otp', 'otg', 'vsdx', 'key', 'numbers', 'pages', 'epub', '3mf'],
  ['zip', 'jar', 'apk', 'xpi', 'war', 'ear', 'ipa', 'aar', 'kmz', 'sketch'],
  ['cfb', 'doc', 'dot', 'xls', 'xlt', 'ppt', 'pps', 'pot', 'msi', 'msg', 'vsd', 'pub', 'wps', 'et', 'dps'],
  ['xml', 'svg', 'html', 'htm', 'xhtml', 'xsl', 'xsd', 'rss', 'atom', 'gpx', 'kml', 'plist', 'drawio'],
  ['gz', 'tgz', 'tar.gz', 'svgz', 'emz'],
  ['bz2', 'tbz2', 'tbz'],
  ['xz', 'txz'],
  ['zst', 'tzst'],
  ['exe', 'dll', 'scr', 'sys', 'com', 'ocx', 'cpl', 'efi', 'drv'],
  ['elf', 'so', 'o', 'ko', 'out', 'axf', 'run'],
  ['macho', 'dylib', 'bundle'],
  ['ps', 'eps', 'ai'],
  ['pdf', 'ai'],
  ['pgp', 'gpg', 'asc'],
  ['sqlite', 'sqlite3', 'db', 'db3'],
  ['ics', 'ical'],
  ['vcf', 'vcard'],
];

/** What is text, so that it has no mark; bytes that have one are no such file. */
const TEXTS: ReadonlySet<string> = new Set(
  'txt text log md csv tsv json jsonl ndjson yaml yml toml ini conf js mjs cjs css sh bat cmd ps1 py rb c h cpp java sql'.split(
    ' ',
  ),
);

/** Extensions by which something else may go as well, or whose mark need not stand at the beginning. */
const VAGUE: ReadonlySet<string> = new Set(['dat', 'key', 'sav', 'it', 'shp', 'out', 'db', 'asc', 'ts', 'com']);

const MARKED: ReadonlySet<string> = new Set([...supportedExtensions, ...ALIKE.flat()]);

/** Whether a file is something else than its extension says. One without an extension, or with an unknown one, says nothing. */
export function isLie(extension: string, sniffed: Sniffed | undefined): boolean {
  if (TEXTS.has(extension)) return sniffed !== undefined && !isText(sniffed);
  if (!MARKED.has(extension) || VAGUE.has(extension)) return false;
  if (sniffed === undefined) return !MAY_BE_UNMARKED.has(extension);
  return (
    sniffed.extension !== extension && !ALIKE.some((set) => set.includes(extension) && set.includes(sniffed.extension))
  );
}

/** What may be written as text without any mark. */
const MAY_BE_UNMARKED: ReadonlySet<string> = new Set(
  'xml svg html htm xhtml xsl xsd rss atom gpx kml plist drawio stl reg ics vcf vtt pub et out run'.split(' '),
);

const isText = ({ type }: Sniffed): boolean => type.startsWith('text/') || type === 'application/xml';

/**
 * Rules on what files may be, written as texts: what to do, with what, and where.
 *
 *   allow image/*                    by the type that its bytes show; a family, or one type
 *   deny .exe                        by the extension of its name
 *   deny executables for my-org/*    by a group of types, for the apps of one org
 *   deny unknown                     what its bytes do not tell
 *   deny *                           whatever is left
 */

/** A rule, read: for which apps, whether it allows, and what it is about. */
export type Rule = { text: string; allows: boolean; of: Subject; apps: string };

/** What a rule is about: sniffed types (`unknown` is none), an extension, or everything. */
export type Subject =
  | { kind: 'types'; matches: (type: string) => boolean }
  | { kind: 'unknown' }
  | { kind: 'extension'; extension: string }
  | { kind: 'all' };

/** How a rule must look, for whoever wrote another thing. */
export const RULE_FORM =
  'must be allow or deny, then a type (image/png), a family (image/*), a group (executables, archives, office), ' +
  "an extension (.exe), unknown or *, and then perhaps 'for org/app' or 'for org/*', like: deny .exe for my-org/*";

/** Types that belong together, but to no family. */
const GROUPS: Readonly<Record<string, (type: string) => boolean>> = {
  executables: (type) => EXECUTABLES.has(type),
  archives: (type) => ARCHIVES.has(type),
  office: (type) => OFFICE.test(type),
};

const EXECUTABLES: ReadonlySet<string> = new Set([
  'application/x-msdownload',
  'application/x-elf',
  'application/x-mach-binary',
  'application/java-vm',
  'application/java-archive',
  'application/vnd.android.package-archive',
  'application/wasm',
  'application/x-ms-shortcut',
  'application/x-ms-regedit',
  'application/vnd.ms-htmlhelp',
  'application/x-shockwave-flash',
  'application/x-google-chrome-extension',
  'application/x-xpinstall',
  'application/x-deb',
  'application/x-rpm',
]);

const ARCHIVES: ReadonlySet<string> = new Set([
  'application/zip',
  'application/x-tar',
  'application/x-rar-compressed',
  'application/gzip',
  'application/x-bzip2',
  'application/x-7z-compressed',
  'application/x-xz',
  'application/zstd',
  'application/lzip',
  'application/x-lz4',
  'application/x-compress',
  'application/x-lzh-compressed',
  'application/x-arj',
  'application/x-ace-compressed',
  'application/x-cpio',
  'application/x-unix-archive',
  'application/x-asar',
  'application/vnd.ms-cab-compressed',
  'application/x-apple-diskimage',
  'application/x-iso9660-image',
]);

/** Also the old compound files (x-cfb): what is in them does not show at their beginning. */
const OFFICE =
  /^application\/(?:vnd\.(?:openxmlformats-officedocument|oasis\.opendocument|ms-(?:excel|word|powerpoint|outlook)|visio|apple\.(?:keynote|numbers|pages))|x-cfb$|rtf$)/;

const RULE =
  /^(allow|deny) +(?:(\*|unknown|executables|archives|office)|(\.[a-z0-9_+-]{1,16}|\.)|([a-z0-9-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)))(?: +for +((?:\*\/\*|[A-Za-z0-9._~-]{1,128}\/(?:\*|[A-Za-z0-9._~-]{1,128}))))?$/;

/** Reads a rule; undefined when it is none. */
export function readRule(text: string): Rule | undefined {
  const [whole, action, word, extension, type, apps = '*/*'] = RULE.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  return { text: whole, allows: action === 'allow', of: subjectOf(word, extension, type), apps };
}

function subjectOf(word: string | undefined, extension: string | undefined, type = ''): Subject {
  if (extension !== undefined) return { kind: 'extension', extension: extension.slice(1) };
  if (word === '*') return { kind: 'all' };
  if (word === 'unknown') return { kind: 'unknown' };
  const group = GROUPS[word ?? ''];
  if (group) return { kind: 'types', matches: group };
  const family = type.slice(0, -1);
  return {
    kind: 'types',
    matches: type.endsWith('/*') ? (given) => given.startsWith(family) : (given) => given === type,
  };
}

/**
 * What a file's name may be to those who read it: many decode what looks encoded, and drop or fold what cannot be seen or
 * what a file's name may not hold with them. Each of these is a name of its own.
 */

/** Enough for whatever two of the readers below make of a name, one after the other. */
const MAX_READINGS = 32;

/** The names that readers may take a name for, itself the first of them. */
export function readingsOf(name: string): string[] {
  const found = new Set([name]);
  for (const text of found) {
    for (const read of [unwords, unpercent, cut, visible]) if (found.size < MAX_READINGS) found.add(read(text));
  }
  return [...found];
}

/** Puts percent-encoded bytes of UTF-8 in clear. */
export const unpercent = (text: string): string =>
  text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'));

/** Puts the encoded words of RFC 2047 in clear, as `=?UTF-8?B?YS50eHQ=?=`. */
const unwords = (text: string): string =>
  text
    .replaceAll(/\?=[ \t]+=\?/g, '?==?')
    .replaceAll(/=\?([^?*]*)[^?]*\?([bq])\?([^?]*)\?=/gi, (_, charset: string, coding: string, word: string) => {
      const isBase64 = coding.toLowerCase() === 'b';
      return decode(charset, isBase64 ? Buffer.from(word, 'base64') : unquote(word));
    });

const unquote = (word: string): Buffer =>
  Buffer.from(
    word
      .replaceAll('_', ' ')
      .replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );

function decode(charset: string, bytes: Buffer): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return bytes.toString('utf8');
  }
}

/** Windows takes what follows a colon for a stream of the file, and C ends a text at a NUL. A rest without a dot says nothing. */
function cut(name: string): string {
  const rest = name.replace(/[:\0].*$/s, '');
  return rest.includes('.') ? rest : name;
}

/** A name as it looks, without what is not seen, what could not be read, quotes, and what Windows has in no name. */
const visible = (name: string): string =>
  name.normalize('NFKC').replaceAll(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u{fffd}<>:"'|?*]/gu, '');

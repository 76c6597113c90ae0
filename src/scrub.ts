/**
 * Takes secrets out of texts that are about to be logged.
 *
 * Two nets: names that are known to stand in front of a secret (a header, a parameter, a field of JSON in the text), and
 * texts that have the shape of one. Rather too much is taken than too little. Whatever the text, the time it takes
 * grows with its length only: a log line must not be a way to stop the gateway.
 */

/** What stands in the place of a secret. */
export const REDACTED = '[redacted]';

// Letters only: the names come as shareSecret, share-secret, SHARE_SECRET and x-share-secret.
const SECRET_NAME =
  /(?:authorization|sharesecret|clientsecret|digestkey|certificate|accesstoken|refreshtoken|password|passwd|passphrase|cookie)$/;

/** Tells whether what stands under this name is a secret, however the name is spelt or percent-encoded. */
export function isSecretName(name: string): boolean {
  let plain = name;
  // A URL in a URL is encoded twice; one more round for a URL in that.
  for (let round = 0; round < 3 && plain.includes('%'); round += 1) {
    plain = plain.replaceAll(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
  return SECRET_NAME.test(plain.toLowerCase().replaceAll(/[^a-z]/g, ''));
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

const SHAPES: readonly [RegExp, string | ((found: string) => string)][] = [
  [/bearer(?:[\s+:]|%20)+\S+/gi, `Bearer ${REDACTED}`],
  // A JSON Web Token; its parts may each be shorter than what counts as a secret below.
  [/(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*/g, REDACTED],
  // Easemob's tokens begin with the base64 of a two-letter kind and a dash; also cut short they are not for a log.
  [/(?:YWMt|cmUt|b2Yt|ZW0t|ZHQt)[\w+/=-]{12,}/g, REDACTED],
  [/007[\w+/=%-]{57,}/g, REDACTED],
  // Share-secrets have 48 such characters. The lookbehind makes every run one match, or one miss.
  [/(?<![\w-])[\w-]{40,}/g, (run) => (run.replaceAll(UUID, '').length < 40 ? run : REDACTED)],
  [/\S+/g, withoutUserinfo],
];

/** The same text without secrets. */
export function scrubText(text: string): string {
  let clean = withoutNamed(text);
  for (const [shape, instead] of SHAPES) {
    clean = typeof instead === 'string' ? clean.replaceAll(shape, instead) : clean.replaceAll(shape, instead);
  }
  return clean;
}

/** Hides the values of `name=value` and `name: value`, plain, encoded, or quoted as in JSON. */
function withoutNamed(text: string): string {
  const sign = /[=:]|%(?:25)*3[ad]/gi;
  let clean = '';
  let done = 0;
  for (let found = sign.exec(text); found; found = sign.exec(text)) {
    const name = nameBefore(text, found.index);
    if (!isSecretName(name)) continue;
    const isLine = found[0] === ':' || /(?:authorization|cookie)$/i.test(name);
    const [start, end] = findValue(text, sign.lastIndex, isLine);
    clean += `${text.slice(done, start)}${REDACTED}`;
    done = end;
    sign.lastIndex = end;
  }
  return clean + text.slice(done);
}

/** The name in front of a sign; no farther back than a name, with every letter encoded twice, can reach. */
function nameBefore(text: string, sign: number): string {
  const before = text.slice(Math.max(0, sign - 100), sign);
  return /[\w.%~-]{6,}(?=[\s"'\\\]]{0,8}$)/.exec(before)?.[0] ?? '';
}

/** Where a value begins and ends: in quotes, or up to the end of the line, or in a query up to the next field. */
function findValue(text: string, from: number, isLine: boolean): [start: number, end: number] {
  const lead = /[ \t]{0,8}(?:(\\{0,8})(["'`])|(?:(?:bearer|basic)[ \t]{1,8})?)/iy;
  lead.lastIndex = from;
  const [all = '', slashes = '', quote] = lead.exec(text) ?? [];
  const start = from + all.length;
  if (quote === undefined) return [start, next(isLine ? /[\r\n]/g : /[\s&]/g, text, start)];
  // As many backslashes as in front of the opening quote: with more of them, the quote belongs to the value.
  return [start, next(new RegExp(String.raw`(?<!\\)\\{${slashes.length}}${quote}`, 'g'), text, start)];
}

function next(stop: RegExp, text: string, from: number): number {
  stop.lastIndex = from;
  return stop.exec(text)?.index ?? text.length;
}

/** Hides the user and the password of a URL; a password may hold any sign, also `@`. */
function withoutUserinfo(word: string): string {
  const scheme = word.indexOf('://');
  const at = word.lastIndexOf('@');
  return scheme === -1 || at < scheme ? word : `${word.slice(0, scheme + 3)}${REDACTED}${word.slice(at)}`;
}

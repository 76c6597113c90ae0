/**
 * What an answer's type tells about what it is: a file, or something else that came with a status of success.
 */

/** One type and subtype (RFC 9110 section 8.3.1); two that some hop has joined are none. */
const TYPE = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+$/;

/** What no file answer is: Easemob's own words, which come as JSON or JavaScript, and pages of a hop on the way. */
const NO_FILE =
  /^(?:application|text)\/(?:[\w.+-]*json|(?:x-)?(?:java|ecma)script[\d.]*|jscript|livescript|html|xhtml\+xml)$/;

/** Whether an answer of this type may be a file that somebody was given, and so says that its bearer was accepted. */
export function isFileType(contentType: string | undefined): boolean {
  const type = bare(contentType);
  return TYPE.test(type) && !NO_FILE.test(type);
}

/** How each picture format that is kept begins. */
const SIGNATURES: Readonly<Record<string, (body: Buffer) => boolean>> = {
  jpeg: (body) => body.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff])),
  png: (body) => body.subarray(0, 8).equals(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')),
  gif: (body) => /^GIF8[79]a$/.test(body.toString('latin1', 0, 6)),
  webp: (body) => body.toString('latin1', 0, 4) === 'RIFF' && body.toString('latin1', 8, 12) === 'WEBP',
  bmp: (body) => body.toString('latin1', 0, 2) === 'BM',
  // AVIF and HEIC: a box of the ISO base media format that names its brands.
  iso: (body) => /^ftyp(?:avi[fs]|hei[cfmsx]|hev[cx]|mi[af]1|msf1)$/.test(body.toString('latin1', 4, 12)),
};

/** Whether an answer is a picture: by its type, and by how its bytes begin. */
export const isPicture = (contentType: string | undefined, body: Buffer): boolean =>
  bare(contentType).startsWith('image/') && beginsAsPicture(body);

/** Whether bytes begin as those of a picture do. */
export const beginsAsPicture = (head: Buffer): boolean => Object.values(SIGNATURES).some((matches) => matches(head));

const bare = (contentType = ''): string => (contentType.split(';')[0] ?? '').trim().toLowerCase();

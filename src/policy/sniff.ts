/**
 * What a file is by its first bytes, whatever its name or its client says.
 *
 * Text has no such mark, so that a text, a script, HTML or SVG without an XML declaration is `unknown`. What can be two
 * things at once (a picture behind which an archive hangs) is told as what it begins with.
 */
import { fileTypeFromBuffer } from 'file-type';

/** A kind of file: its usual extension, and its type. */
export type Sniffed = { extension: string; type: string };

/** How many of a file's first bytes are looked at. */
export const SNIFF_BYTES = 4096;

/** What a file is that begins so; undefined where its bytes do not tell. */
export async function sniff(head: Uint8Array): Promise<Sniffed | undefined> {
  try {
    const found = await fileTypeFromBuffer(head.subarray(0, SNIFF_BYTES));
    // `audio/ogg; codecs=opus`: a rule is about the type alone.
    return found && { extension: found.ext, type: (found.mime.split(';')[0] ?? '').trim().toLowerCase() };
  } catch {
    // Bytes that lead a reader of their format astray; they are what nobody can tell.
    return undefined;
  }
}

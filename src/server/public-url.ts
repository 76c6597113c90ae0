/**
 * The address of the gateway as clients know it, in what the upstream says of itself.
 *
 * An upload's answer names the place of the file at the upstream's own address. Clients that build links from it would
 * go around the gateway, so its origin becomes ours. Nothing else of the text is touched: numbers keep their digits and
 * unknown fields their spelling.
 */
import type { Request } from 'express';
import { type Node, parseTree } from 'jsonc-parser';
import { isHost } from '../policy/head.ts';

/** The origin by which this request's client reaches the gateway: as configured, or as it, or a trusted proxy, says. */
export function publicOrigin(req: Request, publicUrl: string | undefined): string | undefined {
  if (publicUrl !== undefined) return publicUrl;
  const { host, protocol } = req;
  return typeof host === 'string' && isHost(host) && /^https?$/.test(protocol) ? `${protocol}://${host}` : undefined;
}

/** Puts another origin into the `uri` of an upload's answer; what is no such answer stays as it is. */
export function withOrigin(body: Buffer, origin: string): Buffer {
  const text = body.toString('utf8');
  // What is no UTF-8 would not come out as it went in.
  if (!Buffer.from(text).equals(body)) return body;
  const tree = parseTree(text);
  if (tree?.type !== 'object') return body;
  let edited = text;
  // From behind, so that the places of those before stay true.
  for (const { offset, length, value } of urisIn(tree).toReversed()) {
    const moved = move(String(value), origin);
    if (moved !== undefined) edited = edited.slice(0, offset) + JSON.stringify(moved) + edited.slice(offset + length);
  }
  return Buffer.from(edited);
}

/** All that stand under the name, should there be several: nobody knows which of them a client reads. */
const urisIn = (tree: Node): Node[] =>
  (tree.children ?? []).flatMap((property) => {
    const [name, value] = property.children ?? [];
    return name?.value === 'uri' && value?.type === 'string' ? [value] : [];
  });

function move(uri: string, origin: string): string | undefined {
  const rest = /^https?:\/\/[^/?#]*([/?#].*)?$/i.exec(uri);
  return rest ? `${origin}${rest[1] ?? ''}` : undefined;
}

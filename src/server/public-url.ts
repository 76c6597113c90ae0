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
import type { Outcome } from '../upstream/send.ts';

/** The origin by which this request's client reaches the gateway: as configured, or as it, or a trusted proxy, says. */
export function publicOrigin(req: Request, publicUrl: string | undefined): string | undefined {
  if (publicUrl !== undefined) return publicUrl;
  const { host, protocol } = req;
  return typeof host === 'string' && isHost(host) && /^https?$/.test(protocol) ? `${protocol}://${host}` : undefined;
}

/** Where an answer names a place at the upstream: the names that lead there, and what the place's path must begin with. */
export type NamedPlace = { names: readonly string[]; below?: string };

const URI: NamedPlace = { names: ['uri'] };

/** An answer that was read whole, with the gateway's address in the place of the upstream's; any other as it is. */
export function atOurPlace(
  outcome: Outcome,
  req: Request,
  publicUrl: string | undefined,
  places?: readonly NamedPlace[],
): Outcome {
  if (outcome.kind !== 'answer' || outcome.whole === undefined) return outcome;
  const origin = publicOrigin(req, publicUrl);
  return origin === undefined ? outcome : { ...outcome, whole: withOrigin(outcome.whole, origin, places) };
}

/** Puts another origin into the `uri` of an answer, and where else it is said to name a place; what has none stays as it is. */
export function withOrigin(body: Buffer, origin: string, places: readonly NamedPlace[] = [URI]): Buffer {
  const text = body.toString('utf8');
  // What is no UTF-8 would not come out as it went in.
  if (!Buffer.from(text).equals(body)) return body;
  const tree = parseTree(text);
  if (tree?.type !== 'object') return body;
  let edited = text;
  // From behind, so that the places of those before stay true.
  const found = places.flatMap(({ names, below = '' }) => textsIn(tree, names).map((node) => ({ node, below })));
  for (const { node, below } of found.toSorted((a, b) => b.node.offset - a.node.offset)) {
    const { offset, length, value } = node;
    const moved = move(String(value), origin, below);
    if (moved !== undefined) edited = edited.slice(0, offset) + JSON.stringify(moved) + edited.slice(offset + length);
  }
  return Buffer.from(edited);
}

/** All texts that stand under these names, should there be several: nobody knows which of them a client reads. */
function textsIn(tree: Node, [name, ...rest]: readonly string[]): Node[] {
  if (name === undefined) return tree.type === 'string' ? [tree] : [];
  if (tree.type !== 'object') return [];
  return (tree.children ?? []).flatMap(({ children: [key, value] = [] }) =>
    key?.value === name && value ? textsIn(value, rest) : [],
  );
}

function move(uri: string, origin: string, below: string): string | undefined {
  const rest = /^https?:\/\/[^/?#]*([/?#].*)?$/i.exec(uri);
  return rest && (rest[1] ?? '').startsWith(below) ? `${origin}${rest[1] ?? ''}` : undefined;
}

/**
 * The address of the gateway as clients know it, in what the upstream says of itself.
 *
 * An upload's answer names the place of the file at the upstream's own address. Clients that build links from it would
 * go around the gateway, so its origin becomes ours. Nothing else of the text is touched: numbers keep their digits and
 * unknown fields their spelling. An answer in which that cannot be done is not handed on.
 */
import { isUtf8 } from 'node:buffer';
import type { Request } from 'express';
import { type Node, parseTree } from 'jsonc-parser';
import { GatewayError } from '../errors.ts';
import { isHost } from '../policy/head.ts';
import type { Outcome } from '../upstream/send.ts';

/**
 * The origin by which this request's client reaches the gateway: as configured, or as a trusted proxy or itself says; if
 * none of that is a host, the address that it is connected to.
 */
export function publicOrigin(req: Request, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl;
  const own = 'encrypted' in req.socket ? 'https' : 'http';
  const protocol = /^https?$/.test(req.protocol) ? req.protocol : own;
  // HTTP/1.0 may do without a Host; its types do not say so.
  const host = [req.host as string | undefined, req.headers.host].find((each) => each !== undefined && isHost(each));
  return `${protocol}://${host ?? localHost(req.socket)}`;
}

function localHost({ localAddress = '', localPort = 0 }: Request['socket']): string {
  const plain = localAddress.replace(/^::ffff:(?=\d+\.)/, '');
  return `${plain.includes(':') ? `[${plain}]` : plain}:${localPort}`;
}

/** Where an answer names a place at the upstream: the names that lead there, and what the place's path must begin with. */
export type NamedPlace = { names: readonly string[]; below?: string };

const URI: NamedPlace = { names: ['uri'] };

/**
 * The answer to an upload, read whole, with the gateway's address in the place of the upstream's; refusals and failures as
 * they are. Throws where there is an answer that could not be read.
 */
export function atOurPlace(
  outcome: Outcome,
  req: Request,
  publicUrl: string | undefined,
  places?: readonly NamedPlace[],
): Outcome {
  if (outcome.kind !== 'answer' || outcome.status >= 300) return outcome;
  const { whole, headers } = outcome;
  if (whole === undefined || headers['content-encoding'] !== undefined) {
    outcome.body.destroy();
    outcome.release();
    throw new GatewayError('UPSTREAM_BROKEN', { reason: 'an answer too long, or in a coding that is not known here' });
  }
  const origin = publicOrigin(req, publicUrl);
  const { location } = headers;
  return {
    ...outcome,
    whole: withOrigin(whole, origin, places),
    ...(location !== undefined && { location: move(location, origin, '') ?? location }),
  };
}

/** Puts another origin into the `uri` of an answer, and where else it is said to name a place; what has none stays as it is. */
export function withOrigin(body: Buffer, origin: string, places: readonly NamedPlace[] = [URI]): Buffer {
  // What is no UTF-8 would not come out as it went in; byte by byte it does.
  const encoding = isUtf8(body) ? 'utf8' : 'latin1';
  const text = body.toString(encoding);
  const tree = parseTree(text);
  if (tree?.type !== 'object' && tree?.type !== 'array') return body;
  let edited = text;
  // From behind, so that the places of those before stay true.
  const tops = tree.type === 'array' ? (tree.children ?? []) : [tree];
  const found = places.flatMap(({ names, below = '' }) =>
    tops.flatMap((top) => (top.type === 'object' ? textsIn(top, names) : [])).map((node) => ({ node, below })),
  );
  for (const { node, below } of found.toSorted((a, b) => b.node.offset - a.node.offset)) {
    const { offset, length, value } = node;
    const moved = move(String(value), origin, below);
    if (moved !== undefined) edited = edited.slice(0, offset) + JSON.stringify(moved) + edited.slice(offset + length);
  }
  return Buffer.from(edited, encoding);
}

/** All texts that stand under these names, should there be several: nobody knows which of them a client reads. */
function textsIn(tree: Node, [name, ...rest]: readonly string[]): Node[] {
  if (name === undefined) return tree.type === 'string' ? [tree] : [];
  if (tree.type !== 'object') return [];
  return (tree.children ?? []).flatMap(({ children: [key, value] = [] }) =>
    key?.value === name && value ? textsIn(value, rest) : [],
  );
}

/** Whatever a client's URL parser would take for an address with a host, scheme or none, slashes either way. */
const ABSOLUTE = /^[\0- ]*(?:https?:[/\\]*|[/\\]{2,})[^/\\?#]*([/\\?#].*)?$/is;

function move(uri: string, origin: string, below: string): string | undefined {
  const rest = ABSOLUTE.exec(uri);
  return rest && (rest[1] ?? '').startsWith(below) ? `${origin}${rest[1] ?? ''}` : undefined;
}

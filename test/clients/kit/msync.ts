/**
 * MSync, the protocol of Easemob's chat connection, as far as logging in and passing messages on need it.
 *
 * Nobody publishes its schema; every web SDK carries it as an object literal, from which it is read here, so that it is
 * always the one of the SDK that is spoken to.
 */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import protobuf from 'protobufjs';

/** What a message holds, with 64-bit numbers as text. */
export type Fields = Record<string, unknown>;

/** Turns frames into fields and back. */
export type Msync = {
  decode(type: string, bytes: Uint8Array): Fields;
  encode(type: string, fields: Fields): Uint8Array;
};

/** The commands of a frame. */
export const COMMAND = { SYNC: 0, UNREAD: 1, NOTICE: 2, PROVISION: 3, LOGOUT: 4 } as const;

/** What a frame's meta is about: of all kinds, only chat is passed on. */
export const CHAT = 1;

/** Speaks with the schema that is in an SDK's bundle. */
export function createMsync(bundle: string): Msync {
  const root = protobuf.Root.fromJSON(schemaIn(readFileSync(bundle, 'utf8')));
  const typeOf = (type: string) => root.lookupType(`easemob.pb.${type}`);
  return {
    decode: (type, bytes) => typeOf(type).toObject(typeOf(type).decode(bytes), { longs: String }),
    encode: (type, fields) => typeOf(type).encode(typeOf(type).fromObject(fields)).finish(),
  };
}

function schemaIn(source: string): protobuf.INamespace {
  const start = source.indexOf('{nested:{easemob:{nested:{pb:');
  if (start === -1) throw new Error('no MSync schema in this bundle');
  let depth = 0;
  let end = start;
  // No text in the literal holds a brace.
  do {
    if (source[end] === '{') depth += 1;
    if (source[end] === '}') depth -= 1;
    end += 1;
  } while (depth > 0);
  return runInNewContext(`(${source.slice(start, end)})`) as protobuf.INamespace;
}

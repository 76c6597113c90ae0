import ipaddr from 'ipaddr.js';

/** Two ends of a connection, as a load balancer names them. */
export type Ends = { from: string; to: string; fromPort: number; toPort: number };

/** A PROXY header of version 1. */
export const lineHeader = ({ from, to, fromPort, toPort }: Ends): Buffer =>
  Buffer.from(`PROXY ${from.includes(':') ? 'TCP6' : 'TCP4'} ${from} ${to} ${fromPort} ${toPort}\r\n`, 'latin1');

/** What stands in a PROXY header of version 2, byte by byte. */
export type BinaryParts = {
  version?: number;
  command?: number;
  family?: number;
  transport?: number;
  addresses?: Uint8Array;
  /** What stands behind the addresses. */
  more?: Uint8Array;
  /** The length that is announced, if it is not the true one. */
  announced?: number;
};

/** A PROXY header of version 2 from its parts; without them, that of a balancer's own connection. */
export function binaryHeader({
  version = 2,
  command = 0,
  family = 0,
  transport = 0,
  addresses = new Uint8Array(),
  more = new Uint8Array(),
  announced = addresses.length + more.length,
}: BinaryParts): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  head.writeUInt8((version << 4) | command, 12);
  head.writeUInt8((family << 4) | transport, 13);
  head.writeUInt16BE(announced, 14);
  return Buffer.concat([head, addresses, more]);
}

/** A PROXY header of version 2 for a TCP connection. */
export function binaryHeaderOf({ from, to, fromPort, toPort }: Ends, more = new Uint8Array()): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(fromPort, 0);
  ports.writeUInt16BE(toPort, 2);
  const bytes = [from, to].flatMap((address) => ipaddr.parse(address).toByteArray());
  const family = bytes.length === 8 ? 1 : 2;
  return binaryHeader({
    command: 1,
    family,
    transport: 1,
    addresses: Buffer.concat([Buffer.from(bytes), ports]),
    more,
  });
}

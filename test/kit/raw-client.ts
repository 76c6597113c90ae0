import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One reply as it stood on the wire; header names in lower case, repeated ones joined. */
export type RawReply = { status: number; headers: Record<string, string>; body: Buffer };

/** Everything that came back on one connection. */
export type RawResult = {
  /** Final replies, in order; a 1xx is only counted in `interim`. */
  replies: RawReply[];
  interim: number[];
  /** All bytes as text, one character for each byte. */
  text: string;
  /** Bytes behind the last whole reply. */
  rest: string;
  /** How the connection stood at the end: still open, closed in order, or reset. */
  end: 'open' | 'closed' | 'reset';
};

/** What a raw client may be told: which replies have no body because they answer HEAD, and how long it waits at most. */
export type RawOptions = { isHead?: (index: number) => boolean; deadlineMs?: number };

/** A client that sends exactly the bytes it is told to; whoever waits longer than the deadline fails. */
export type RawClient = Disposable & {
  socket: Socket;
  /** Writes, and waits until the system has taken the bytes; never fails, a reset shows in the result. */
  send(bytes: string | Uint8Array): Promise<void>;
  /** Waits for so many replies, or for the connection's end, whichever comes first. */
  replies(count: number): Promise<RawResult>;
  /** Waits for the connection's end. */
  ended(): Promise<RawResult>;
  /** Waits until so many interim or final replies have begun. */
  begun(count: number): Promise<RawResult>;
  /** Vanishes without a goodbye. */
  reset(): void;
};

/** Connects to an origin. */
export async function connectRaw(
  url: string,
  { isHead = () => false, deadlineMs = 10_000 }: RawOptions = {},
): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let received = Buffer.alloc(0);
  let end: RawResult['end'] = 'open';
  const watchers = new Set<() => void>();
  const look = () => {
    for (const watcher of watchers) watcher();
  };
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    look();
  });
  socket.on('error', () => {
    end = 'reset';
  });
  socket.on('close', () => {
    if (end === 'open') end = 'closed';
    look();
  });
  await once(socket, 'connect');

  const result = (): RawResult => ({ ...readReplies(received, isHead, end !== 'open'), end });
  const until = (isDone: (result: RawResult) => boolean): Promise<RawResult> => {
    const { promise, resolve, reject } = Promise.withResolvers<RawResult>();
    const watcher = () => {
      const now = result();
      if (now.end !== 'open' || isDone(now)) resolve(now);
    };
    const deadline = setTimeout(() => {
      reject(new Error(`nothing more within ${deadlineMs} ms; so far: ${JSON.stringify(result().text.slice(0, 500))}`));
    }, deadlineMs);
    watchers.add(watcher);
    watcher();
    return promise.finally(() => {
      clearTimeout(deadline);
      watchers.delete(watcher);
    });
  };
  return {
    socket,
    send(bytes) {
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once('close', resolve);
      socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => {
        socket.off('close', resolve);
        resolve();
      });
      return promise;
    },
    replies: (count) => until(({ replies }) => replies.length >= count),
    ended: () => until(() => false),
    begun: (count) => until(({ replies, interim, rest }) => replies.length + interim.length + (rest ? 1 : 0) >= count),
    reset: () => socket.resetAndDestroy(),
    [Symbol.dispose]: () => socket.destroy(),
  };
}

/** Takes the bytes of a connection apart; throws where they are no HTTP/1.1. */
function readReplies(
  bytes: Buffer,
  isHead: (index: number) => boolean,
  isOver: boolean,
): Pick<RawResult, 'replies' | 'interim' | 'text' | 'rest'> {
  const replies: RawReply[] = [];
  const interim: number[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end === -1) break;
    const { status, headers } = readHead(bytes.toString('latin1', at, end));
    if (status < 200) {
      interim.push(status);
      at = end + 4;
      continue;
    }
    const isBare = isHead(replies.length) || status === 204 || status === 304;
    const read = isBare ? { body: Buffer.alloc(0), end: end + 4 } : readBody(bytes, end + 4, headers, isOver);
    if (!read) break;
    replies.push({ status, headers, body: read.body });
    at = read.end;
  }
  return { replies, interim, text: bytes.toString('latin1'), rest: bytes.toString('latin1', at) };
}

function readHead(head: string): Pick<RawReply, 'status' | 'headers'> {
  const [line = '', ...fields] = head.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3}) [ -~]+$/.exec(line)?.[1];
  if (status === undefined) throw new Error(`not a status line: ${JSON.stringify(line)}`);
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const [, name = '', value = ''] = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)$/.exec(field) ?? [];
    if (name === '') throw new Error(`not a header: ${JSON.stringify(field)}`);
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  return { status: Number(status), headers };
}

function readBody(
  bytes: Buffer,
  from: number,
  headers: Record<string, string>,
  isOver: boolean,
): { body: Buffer; end: number } | undefined {
  const length = headers['content-length'];
  if (headers['transfer-encoding'] === 'chunked') {
    if (length !== undefined) throw new Error('a reply with two lengths');
    return readChunks(bytes, from);
  }
  if (length !== undefined) {
    const end = from + Number(length);
    return bytes.length < end ? undefined : { body: bytes.subarray(from, end), end };
  }
  return isOver ? { body: bytes.subarray(from), end: bytes.length } : undefined;
}

function readChunks(bytes: Buffer, from: number): { body: Buffer; end: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = from; ;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    const end = line + 2 + size + 2;
    if (Number.isNaN(size)) throw new Error('a chunk without a size');
    if (bytes.length < end) return undefined;
    if (size === 0) return { body: Buffer.concat(chunks), end };
    chunks.push(bytes.subarray(line + 2, line + 2 + size));
    at = end;
  }
}

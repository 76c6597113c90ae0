import { createHash, randomUUID } from 'node:crypto';
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { request as requestTls } from 'node:https';
import type { ConnectionOptions } from 'node:tls';

/** What a client saw of an answer; the status is 0 when there was none. */
export type Reply = {
  status: number;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: Buffer;
  /** Whether a client would take it for the whole answer. */
  isWhole: boolean;
};

/** What is asked, from which address of this machine, and how; fetch would add fields of its own. */
export type Question = {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: Uint8Array | undefined;
  from?: string;
  /** How TLS is spoken with an https: address. */
  tls?: ConnectionOptions;
  /** Whose connections are used, if not one of its own. */
  agent?: Agent;
};

/** Asks once, on a connection of its own unless an agent is given; never rejects. */
export function ask(url: string, question: Question = {}): Promise<Reply> {
  const { method = 'GET', headers = {}, body, from, tls = {}, agent } = question;
  return new Promise((resolve) => {
    const none = { status: 0, headers: {}, rawHeaders: [], body: Buffer.alloc(0), isWhole: false };
    const length = body ? { 'content-length': String(body.length) } : {};
    const source = from === undefined ? {} : { localAddress: from };
    const options = { method, headers: { ...length, ...headers }, agent: agent ?? false, ...source };
    const outgoing = url.startsWith('https:') ? requestTls(url, { ...tls, ...options }) : request(url, options);
    outgoing.on('error', () => resolve(none));
    outgoing.on('response', (answer) => {
      const chunks: Buffer[] = [];
      const { statusCode: status = 0, headers: fields, rawHeaders } = answer;
      const end = (isWhole: boolean) =>
        resolve({ status, headers: fields, rawHeaders, body: Buffer.concat(chunks), isWhole });
      answer.on('data', (chunk: Buffer) => void chunks.push(chunk));
      answer.on('end', () => end(answer.complete));
      answer.on('error', () => end(false));
    });
    outgoing.end(body);
  });
}

/** A form with one file, as bytes. */
export function multipartOf(file: Uint8Array, filename = 'file.bin'): { contentType: string; body: Buffer } {
  const boundary = `----${randomUUID()}`;
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([Buffer.from(head, 'latin1'), file, Buffer.from(`\r\n--${boundary}--\r\n`)]),
  };
}

/** A digest to compare bytes by. */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

import { type Denied, malformed, readBoundaries } from './content-type.ts';
import { allow, type Decision } from './decision.ts';
import { BoundarySearch } from './boundary-search.ts';
import { readPartHead } from './part-head.ts';
import { SNIFF_BYTES } from './sniff.ts';

/**
 * What a multipart body may hold; a part head is counted from its boundary to its empty line, both CRLFs included.
 * `field` is the name of the part that is the file: `file`, if it is not given. `onFile` is shown the file's bytes as they
 * go by, which are no longer there when it returns.
 */
export type MultipartLimits = {
  fileBytes: number;
  maxParts: number;
  maxPartHeadBytes: number;
  field?: string;
  onFile?: ((bytes: Uint8Array) => void) | undefined;
};

/** Watches a form-data body go by in pieces, and tells at once when it may not go on; it keeps no piece. */
export type MultipartWatch = {
  /** Takes the next bytes; after a "no" every further answer is the same. */
  push(chunk: Uint8Array): Decision;
  /** Says whether what went by is a whole body with exactly one file. */
  end(): Decision;
  /** The file's bytes so far that cannot turn out to be a boundary. */
  readonly fileBytes: number;
  /** Where in the body the file's first byte stands. */
  readonly fileStart: number;
  /** A copy of the file's first bytes, as many as it takes to tell what it is. */
  readonly fileHead: Buffer;
  /** The names that readers may find for the file. */
  readonly fileNames: readonly string[];
};

/** Opens a watch for a body of this Content-Type, or says why there can be none. */
export function watchMultipart(contentType: string | undefined, limits: MultipartLimits): MultipartWatch | Denied {
  const boundaries = readBoundaries(contentType);
  return 'allowed' in boundaries ? boundaries : new Watch(boundaries, limits);
}

const MAX_PREAMBLE_BYTES = 1024;
const LINE_BREAK = Buffer.from('\r\n');
const EMPTY_LINE = Buffer.from('\r\n\r\n');
const [LF, SPACE, TAB, CR, DASH] = [0x0a, 0x20, 0x09, 0x0d, 0x2d];

/**
 * 1. In the preamble, a part or the epilogue it looks for the next boundary, over whole chunks. The end of a chunk that
 *    may be the beginning of one is held back, and put before the next chunk.
 * 2. Behind a boundary it gathers the rest of the line and the part's head, up to the empty line or the limit.
 * 3. Behind the closing boundary only padding and a line break may follow, then an epilogue without boundaries.
 */
class Watch implements MultipartWatch {
  readonly #search: BoundarySearch;
  readonly #limits: MultipartLimits;
  #phase: 'preamble' | 'head' | 'content' | 'closing' | 'epilogue' = 'preamble';
  #denied: Denied | undefined;

  // The preamble begins as if behind a line break: the first boundary needs none.
  #held: Buffer = LINE_BREAK;
  /** How many bytes of what is searched next are repeated from before it, so that a boundary can be seen to begin there. */
  #uncounted = LINE_BREAK.length;

  #head: Buffer | undefined;
  #headBytes = 0;
  #parts = 0;
  #preambleBytes = 0;
  #files = 0;
  #inFile = false;

  fileBytes = 0;
  fileStart = 0;
  fileHead: Buffer = Buffer.alloc(0);
  fileNames: readonly string[] = [];

  /** Where in the body the bytes stand that are looked at: the line break before the first boundary is only thought. */
  #base = -LINE_BREAK.length;

  constructor(boundaries: string[], limits: MultipartLimits) {
    this.#search = new BoundarySearch(boundaries);
    this.#limits = limits;
  }

  push(chunk: Uint8Array): Decision {
    if (this.#denied !== undefined) return this.#denied;
    const piece = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const data = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    this.#held = NOTHING;
    let at = 0;
    while (at < data.length && this.#denied === undefined) at = this.#step(data, at);
    this.#base += data.length - this.#held.length;
    return this.#denied ?? allow;
  }

  end(): Decision {
    if (this.#denied !== undefined) return this.#denied;
    if (this.#phase !== 'closing' && this.#phase !== 'epilogue') this.#deny('the body has no final boundary');
    else if (this.#search.holdsBoundary(this.#held)) this.#deny('a boundary follows the final boundary');
    else if (this.#files === 0)
      this.#denied = { allowed: false, code: 'FILE_MISSING', reason: 'no part is named file' };
    return this.#denied ?? allow;
  }

  /** Takes bytes of `data` from `at` on, and tells where to go on. */
  #step(data: Buffer, at: number): number {
    if (this.#phase === 'head') return this.#readHead(data, at);
    if (this.#phase === 'closing') return this.#readClosing(data, at);
    return this.#readContent(data, at);
  }

  #readContent(data: Buffer, at: number): number {
    const found = this.#search.find(data, at);
    this.#count(data, at, found.start);
    if (this.#denied !== undefined) return data.length;
    if (found.kind === 'none') {
      if (found.start < data.length) this.#held = Buffer.from(data.subarray(found.start));
      return data.length;
    }
    if (found.kind === 'ambiguous' || this.#phase === 'epilogue') {
      this.#deny(this.#phase === 'epilogue' ? 'a boundary follows the final boundary' : 'a boundary is out of place');
      return data.length;
    }
    if (this.#inFile && this.fileBytes === 0) {
      this.#denied = { allowed: false, code: 'FILE_EMPTY', reason: 'the file has no bytes' };
    }
    this.#inFile = false;
    this.#phase = 'head';
    this.#headBytes = 0;
    return found.end;
  }

  #count(data: Buffer, start: number, end: number): void {
    const repeated = Math.min(this.#uncounted, end - start);
    this.#uncounted -= repeated;
    const counted = end - start - repeated;
    if (this.#phase === 'preamble') {
      this.#preambleBytes += counted;
      if (this.#preambleBytes > MAX_PREAMBLE_BYTES) this.#deny('no boundary is found where the body begins');
    }
    if (!this.#inFile || counted === 0) return;
    const from = start + repeated;
    if (this.fileBytes === 0) this.fileStart = this.#base + from;
    const room = SNIFF_BYTES - this.fileHead.length;
    if (room > 0) {
      this.fileHead = Buffer.concat([this.fileHead, data.subarray(from, Math.min(end, from + room))]);
    }
    this.fileBytes += counted;
    if (this.fileBytes > this.#limits.fileBytes) {
      const reason = `the file has more than ${this.#limits.fileBytes} bytes`;
      this.#denied = { allowed: false, code: 'BODY_TOO_LARGE', reason };
      return;
    }
    this.#limits.onFile?.(data.subarray(from, end));
  }

  #readHead(data: Buffer, at: number): number {
    const limit = this.#limits.maxPartHeadBytes;
    const head = (this.#head ??= Buffer.allocUnsafeSlow(limit));
    const before = this.#headBytes;
    this.#headBytes += data.copy(head, before, at, at + limit - before);
    if (this.#headBytes >= 2 && head[0] === DASH && head[1] === DASH) {
      this.#phase = 'closing';
      return at + 2 - before;
    }
    const gathered = head.subarray(0, this.#headBytes);
    const end = gathered.indexOf(EMPTY_LINE, Math.max(0, before - EMPTY_LINE.length + 1));
    if (end < 0) {
      if (this.#headBytes === limit) this.#deny(`a part head has more than ${limit} bytes`);
      return data.length;
    }
    this.#beginPart(gathered.toString('latin1', 0, end + LINE_BREAK.length));
    // The head's last byte is looked at again: a boundary straight behind it would be out of place, and must be seen.
    this.#uncounted = 1;
    return at + end + EMPTY_LINE.length - before - 1;
  }

  #beginPart(head: string): void {
    this.#phase = 'content';
    this.#parts += 1;
    if (this.#parts > this.#limits.maxParts) return this.#deny(`more than ${this.#limits.maxParts} parts`);
    const padding = /^[ \t]*\r\n/.exec(head)?.[0];
    // Whether `--boundaryX` ends a part is read in both ways by parsers in use.
    if (padding === undefined) return this.#deny('something follows a boundary on its line');
    if (this.#search.isIn(`\n${head.slice(padding.length)}`)) return this.#deny('a boundary stands in a part head');
    const part = readPartHead(head.slice(padding.length), this.#limits.field);
    if ('allowed' in part) {
      this.#denied = part;
      return;
    }
    this.#inFile = part.isFile;
    if (part.isFile) {
      this.#files += 1;
      this.fileNames = part.fileNames;
    }
    if (this.#files > 1) this.#denied = { allowed: false, code: 'FILE_REPEATED', reason: 'two parts are named file' };
  }

  #readClosing(data: Buffer, at: number): number {
    while (data[at] === SPACE || data[at] === TAB) at += 1;
    if (at === data.length) return at;
    if (data[at] === CR || data[at] === LF) this.#phase = 'epilogue';
    else this.#deny('something follows the final boundary on its line');
    return at;
  }

  #deny(reason: string): void {
    this.#denied = malformed(reason);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);

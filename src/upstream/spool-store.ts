import { GatewayError } from '../errors.ts';
import { type Budget, Share } from './spool-budget.ts';
import { SPOOL_RETRY_AFTER_MS, type SpoolFile } from './spool-file.ts';

/** Bytes are kept, written and read in blocks of this size. */
export const BLOCK_BYTES = 64 * 1024;

/** What a store draws on: the two budgets, how much memory one body may take, and a way to open a file. */
export type StoreDeps = {
  memory: Budget;
  disk: Budget;
  memoryPerUploadBytes: number;
  openFile(): Promise<SpoolFile>;
};

/**
 * The bytes of one body: those that come first in memory, the rest in a file.
 *
 * They are copied into blocks of our own, since a chunk from the network may hold one byte and yet keep alive the
 * 64 KB that it was read into.
 */
export class SpoolStore {
  readonly #deps: StoreDeps;
  readonly #memory: Share;
  readonly #disk: Share;

  /** Only the last may be smaller than the others, or partly filled. */
  readonly #blocks: Buffer[] = [];
  #blockBytes = 0;
  #memoryBytes = 0;
  /** False once there was no more when a block was wanted: what comes after that goes to the file, in order. */
  #mayGrow = true;

  #opening: Promise<SpoolFile> | undefined;
  #file: SpoolFile | undefined;
  #staged: Buffer | undefined;
  #stagedBytes = 0;
  #writtenBytes = 0;
  #released: Promise<void> | undefined;

  constructor(deps: StoreDeps) {
    this.#deps = deps;
    this.#memory = new Share(deps.memory);
    this.#disk = new Share(deps.disk);
  }

  get bytes(): number {
    return this.#memoryBytes + this.#writtenBytes + this.#stagedBytes;
  }

  /** Throws if a body of this size would not fit now. It takes nothing: to announce bytes is not to send them. */
  checkRoom(bytes: number): void {
    const { memory, disk, memoryPerUploadBytes } = this.#deps;
    const forDisk = bytes - Math.min(bytes, memoryPerUploadBytes, memory.room);
    if (forDisk > disk.room) throw this.#full(forDisk);
  }

  /** Copies bytes in; a promise if some of them have to wait for the disk, and then the caller waits, too. */
  append(chunk: Buffer): Promise<void> | undefined {
    const kept = this.#keep(chunk);
    if (kept === chunk.length) return undefined;
    if (this.#file !== undefined && chunk.length - kept < BLOCK_BYTES - this.#stagedBytes) {
      this.#stage(chunk, kept);
      return undefined;
    }
    return this.#spill(chunk, kept);
  }

  /** Ends the writing: what is staged goes to the file, and room that was not needed is given back. */
  async finish(): Promise<void> {
    await this.#flush();
    this.#staged = undefined;
    const last = this.#blocks.pop();
    if (last !== undefined) {
      const used = this.#memoryBytes - this.#blocks.length * BLOCK_BYTES;
      const exact = used === last.length ? last : Buffer.allocUnsafeSlow(used);
      last.copy(exact);
      this.#blocks.push(exact);
    }
    this.#memory.shrinkTo(this.#memoryBytes);
    this.#disk.shrinkTo(this.#writtenBytes);
  }

  /** The bytes from a position on, as many as come in one piece; only for a finished store. */
  read(position: number): Buffer | Promise<Buffer> {
    if (position < this.#memoryBytes) {
      return this.#blocks[Math.floor(position / BLOCK_BYTES)]!.subarray(position % BLOCK_BYTES);
    }
    return this.#readFile(position - this.#memoryBytes);
  }

  /** Gives everything back at once, and closes the file; any number of times. */
  release(): Promise<void> {
    this.#released ??= this.#close();
    return this.#released;
  }

  async #close(): Promise<void> {
    this.#blocks.length = 0;
    this.#memory.shrinkTo(0);
    this.#disk.shrinkTo(0);
    const file = await this.#opening?.catch(() => undefined);
    await file?.close();
    this.#staged = undefined;
  }

  /** Copies into memory what fits there, and tells how much. */
  #keep(chunk: Buffer): number {
    let kept = 0;
    while (kept < chunk.length) {
      if (this.#memoryBytes === this.#blockBytes && !this.#addBlock()) return kept;
      const copied = chunk.copy(this.#blocks.at(-1)!, this.#memoryBytes % BLOCK_BYTES, kept);
      this.#memoryBytes += copied;
      kept += copied;
    }
    return kept;
  }

  #addBlock(): boolean {
    const size = Math.min(BLOCK_BYTES, this.#deps.memoryPerUploadBytes - this.#blockBytes);
    this.#mayGrow &&= size > 0 && this.#memory.reach(this.#blockBytes + size);
    if (!this.#mayGrow) return false;
    this.#blocks.push(Buffer.allocUnsafeSlow(size));
    this.#blockBytes += size;
    return true;
  }

  /** Copies into the block that goes to the file next what fits there, and tells how far it came. */
  #stage(chunk: Buffer, from: number): number {
    const size = Math.min(chunk.length - from, BLOCK_BYTES - this.#stagedBytes);
    this.#reachOnDisk(this.#writtenBytes + this.#stagedBytes + size);
    this.#staged ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    chunk.copy(this.#staged, this.#stagedBytes, from, from + size);
    this.#stagedBytes += size;
    return from + size;
  }

  async #spill(chunk: Buffer, from: number): Promise<void> {
    await this.#openFile();
    let at = from;
    // The upload may be given up while this waits for the disk; its room must not be taken again then.
    while (at < chunk.length && this.#released === undefined) {
      at = this.#stage(chunk, at);
      if (this.#stagedBytes === BLOCK_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#stagedBytes === 0) return;
    await this.#file!.write(this.#staged!.subarray(0, this.#stagedBytes), this.#writtenBytes);
    this.#writtenBytes += this.#stagedBytes;
    this.#stagedBytes = 0;
  }

  async #openFile(): Promise<void> {
    this.#opening ??= this.#deps.openFile();
    this.#file = await this.#opening;
  }

  async #readFile(position: number): Promise<Buffer> {
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, this.#writtenBytes - position));
    await this.#file!.read(block, position);
    return block;
  }

  /**
   * Room is taken as the bytes come, so several uploads may share the last of it. The first one that gets no more gives
   * back all that it has, before any other can ask: so as many finish as there is room for, and none waits for another.
   */
  #reachOnDisk(bytes: number): void {
    if (this.#disk.reach(bytes)) return;
    void this.release();
    throw this.#full(bytes);
  }

  #full(bytes: number): GatewayError {
    const reason = `the spool's disk has no room for ${bytes} bytes`;
    return new GatewayError('SPOOL_FULL', { retryAfterMs: SPOOL_RETRY_AFTER_MS, reason });
  }
}

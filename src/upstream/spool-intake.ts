import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';

/** How long a source may take, and who may call it off. */
export type IntakeLimits = { idleMs: number; totalMs: number; clock: Clock; signal?: AbortSignal | undefined };

/** Who takes the bytes: as long as a promise that it returns is pending, the source is paused. */
export type Taker = { take(chunk: Buffer): Promise<void> | undefined };

/**
 * Reads a source to its end; rejects with what the taker threw, CLIENT_GONE or REQUEST_TOO_SLOW.
 *
 * However it ends, the source keeps no listener of ours, and is paused rather than destroyed: a request must outlive its
 * refusal for the answer to reach the client.
 */
export function intake(source: Readable, taker: Taker, limits: IntakeLimits): Promise<void> {
  return new Promise((resolve, reject) => new Intake(source, taker, limits, resolve, reject).begin());
}

class Intake {
  readonly #source: Readable;
  readonly #taker: Taker;
  readonly #limits: IntakeLimits;
  readonly #resolve: () => void;
  readonly #reject: (failure: unknown) => void;

  #settled = false;
  #taking = false;
  #ended: boolean;
  #lastByteAt: number;
  #cancelIdle = () => {};
  #cancelTotal = () => {};

  constructor(
    source: Readable,
    taker: Taker,
    limits: IntakeLimits,
    resolve: () => void,
    reject: (failure: unknown) => void,
  ) {
    this.#source = source;
    this.#taker = taker;
    this.#limits = limits;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#ended = source.readableEnded;
    this.#lastByteAt = limits.clock.monotonic();
  }

  begin(): void {
    const { clock, idleMs, totalMs, signal } = this.#limits;
    const source = this.#source;
    if (signal?.aborted || (source.destroyed && !this.#ended)) return this.#onGone();
    signal?.addEventListener('abort', this.#onGone);
    source.pause();
    source.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onGone).on('close', this.#onClose);
    this.#cancelIdle = clock.after(idleMs, this.#onIdle);
    this.#cancelTotal = clock.after(totalMs, () => this.#tooSlow(`the body took more than ${totalMs} ms`));
    this.#goOn();
  }

  /** Runs a step of the taker, and holds the source back if it takes its time. */
  #await(step: () => Promise<void> | undefined): void {
    try {
      const pending = step();
      if (pending === undefined) return;
      this.#taking = true;
      this.#source.pause();
      pending.then(this.#onTaken, this.#onFault);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  readonly #onTaken = (): void => {
    this.#taking = false;
    // The time that our own disk took is not the client's.
    this.#lastByteAt = this.#limits.clock.monotonic();
    this.#goOn();
  };

  readonly #onFault = (fault: unknown): void => this.#fail(fault);

  #goOn(): void {
    if (this.#settled) return;
    if (!this.#ended) this.#source.resume();
    else if (this.#settle()) this.#resolve();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#lastByteAt = this.#limits.clock.monotonic();
    this.#await(() => this.#taker.take(chunk));
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (!this.#taking) this.#goOn();
  };

  readonly #onClose = (): void => {
    if (!this.#ended) this.#onGone();
  };

  readonly #onGone = (cause?: unknown): void => {
    const reason = 'the client left before the end of its body';
    this.#fail(new GatewayError('CLIENT_GONE', { reason, cause: cause instanceof Error ? cause : undefined }));
  };

  readonly #onIdle = (): void => {
    const { clock, idleMs } = this.#limits;
    const idleForMs = this.#taking ? 0 : clock.monotonic() - this.#lastByteAt;
    if (idleForMs >= idleMs) this.#tooSlow(`no byte came for ${idleMs} ms`);
    else this.#cancelIdle = clock.after(idleMs - idleForMs, this.#onIdle);
  };

  #tooSlow(reason: string): void {
    this.#fail(new GatewayError('REQUEST_TOO_SLOW', { reason }));
  }

  #fail(failure: unknown): void {
    if (this.#settle()) this.#reject(failure);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancelIdle();
    this.#cancelTotal();
    this.#limits.signal?.removeEventListener('abort', this.#onGone);
    const source = this.#source;
    source.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onGone).off('close', this.#onClose);
    source.pause();
    return true;
  }
}

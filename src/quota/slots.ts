/** Leave to make upstream attempts, each at its time. */
export type Slots = Disposable & {
  /**
   * Waits for a slot. Rejects with a GatewayError: QUEUE_FULL at once when the wait would be too long or the queue is
   * full (with `retryAfterMs`), CLIENT_GONE when the signal aborts, DRAINING when disposed.
   */
  acquire(signal: AbortSignal): Promise<void>;
  /** Requests that wait now. */
  readonly waiting: number;
};

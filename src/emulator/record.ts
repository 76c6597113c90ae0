/** What a request asks for, as faults and the record name it. */
export type Interface = 'upload' | 'download' | 'thumbnail' | 'token' | 'users' | 'other';

/** One request as it was received, and what became of it; fields are filled in as they become known. */
export type Received = {
  /** Counts up from 1 since the start. */
  id: number;
  /** Arrival of the request's head, milliseconds since the epoch. */
  at: number;
  method: string;
  /** The request target as it was sent, with its query. */
  path: string;
  /** Name and value pairs as they were sent: order, case and repetitions kept. */
  headers: [name: string, value: string][];
  remoteAddress: string;
  remotePort: number;
  interface: Interface;
  /** Refused by the limiter. */
  limited: boolean;
  /** The kind of the fault that was played on it. */
  fault?: string;
  /** The status of the answer, once its head was written. */
  status?: number;
  outcome: 'pending' | 'answered' | 'broken-off';
  /** Bytes of the request body that were read. */
  bytesIn: number;
  /** Bytes of the answer's body that were written. */
  bytesOut: number;
  durationMs?: number;
  /** Of the whole request body, when an upload was read to its end. */
  bodySha256?: string;
  /** Of the `file` part. */
  fileSha256?: string;
  /** The file that an upload made. */
  fileUuid?: string;
};

/** The last requests that were received. */
export type ReceivedRecord = {
  add(received: Omit<Received, 'id'>): Received;
  list(): Received[];
  clear(): void;
};

/** Makes a record that keeps the newest `size` requests. */
export function createRecord(size: number): ReceivedRecord {
  let kept: Received[] = [];
  let count = 0;

  return {
    add(received) {
      count += 1;
      const entry = { id: count, ...received };
      kept.push(entry);
      // Cut in one go when twice as many are there: shifting at each request would move the whole array.
      if (kept.length >= 2 * size) kept = kept.slice(-size);
      return entry;
    },
    list: () => kept.slice(-size),
    clear() {
      kept = [];
    },
  };
}

/**
 * Where the next boundary is: its line break begins at `start`, and the bytes behind it at `end`. Bytes before `start`
 * belong to no boundary, whatever comes next; with `none`, those from `start` on may yet turn out to begin one.
 */
export type Found = { kind: 'boundary' | 'ambiguous' | 'none'; start: number; end: number };

const [LF, CR] = [0x0a, 0x0d];

type Candidate = { boundary: string; anywhere: Buffer; afterLf: Buffer; afterCr: Buffer };

// Looking for the bytes of a short one anywhere is slow in contents full of dashes, which a client may choose.
const MIN_LENGTH_TO_LOOK_ANYWHERE = 8;

/**
 * Finds the boundaries of a body that was announced with one boundary or a few.
 *
 * 1. The first one found decides which boundary the body uses, the longest of those that match there.
 * 2. A boundary behind CRLF is one. Some readers also take one behind a bare CR or LF, or one of the other announced
 *    boundaries: where these stand at the beginning of a line the place is ambiguous.
 */
export class BoundarySearch {
  #candidates: Candidate[];
  #chosen: Candidate | undefined;

  constructor(boundaries: string[]) {
    this.#candidates = boundaries.map((boundary) => ({
      boundary,
      anywhere: Buffer.from(`--${boundary}`, 'latin1'),
      afterLf: Buffer.from(`\n--${boundary}`, 'latin1'),
      afterCr: Buffer.from(`\r--${boundary}`, 'latin1'),
    }));
    this.#candidates.sort((one, other) => other.boundary.length - one.boundary.length);
    if (boundaries.length === 1) this.#chosen = this.#candidates[0];
  }

  /** Looks for the first boundary from `from` on, on behalf of a body whose bytes before `from` are done with. */
  find(data: Buffer, from: number): Found {
    const place = this.#earliest(data, from);
    if (place < 0) {
      const start = this.#possibleStart(data, from);
      return { kind: 'none', start, end: start };
    }
    const start = place > from && data[place] === LF && data[place - 1] === CR ? place - 1 : place;
    const line = data.subarray(place + 1);
    const choice = this.#choose(line);
    if (choice === 'undecided') return { kind: 'none', start, end: start };
    const isBoundary = start < place && choice !== undefined;
    if (isBoundary) this.#chosen = choice;
    return {
      kind: isBoundary ? 'boundary' : 'ambiguous',
      start,
      end: place + (choice ?? this.#candidates[0]!).afterLf.length,
    };
  }

  /** Tells whether a text has a boundary at the beginning of a line. */
  isIn(text: string): boolean {
    return this.#candidates.some(
      ({ boundary }) => text.includes(`\n--${boundary}`) || text.includes(`\r--${boundary}`),
    );
  }

  /** Tells whether bytes have a boundary at the beginning of a line. */
  holdsBoundary(data: Buffer): boolean {
    return this.#earliest(data, 0) >= 0;
  }

  /** The place of the line break before the first match of any candidate, or -1. */
  #earliest(data: Buffer, from: number): number {
    let place = -1;
    for (const { boundary, anywhere, afterLf, afterCr } of this.#candidates) {
      if (data.length - from < afterLf.length) continue;
      // Nearly every piece of a file is done with here, by the one pass over it instead of two.
      if (boundary.length >= MIN_LENGTH_TO_LOOK_ANYWHERE && data.indexOf(anywhere, from) < 0) continue;
      for (const needle of [afterLf, afterCr]) {
        // What begins behind an earlier match need not be looked at now: so each byte is looked at once for each needle.
        const within = place < 0 ? data : data.subarray(0, place + needle.length - 1);
        const at = within.indexOf(needle, from);
        if (at >= 0) place = at;
      }
    }
    return place;
  }

  /** The boundary at the beginning of a line where at least one matches: undefined if it is not the body's own. */
  #choose(line: Buffer): Candidate | undefined | 'undecided' {
    for (const candidate of this.#chosen === undefined ? this.#candidates : [this.#chosen]) {
      const shared = Math.min(candidate.anywhere.length, line.length);
      if (line.compare(candidate.anywhere, 0, shared, 0, shared) !== 0) continue;
      return shared === candidate.anywhere.length ? candidate : 'undecided';
    }
    return undefined;
  }

  /** Where the end of `data` may begin a boundary; no boundary holds a line break, so only the last one counts. */
  #possibleStart(data: Buffer, from: number): number {
    const first = Math.max(from, data.length - this.#candidates[0]!.afterLf.length);
    let place = data.length - 1;
    while (place >= first && data[place] !== LF && data[place] !== CR) place -= 1;
    if (place < first) return data.length;
    const line = data.subarray(place + 1);
    const begins = this.#candidates.some(
      ({ anywhere }) => line.length < anywhere.length && line.compare(anywhere, 0, line.length, 0, line.length) === 0,
    );
    if (!begins) return data.length;
    return place > from && data[place] === LF && data[place - 1] === CR ? place - 1 : place;
  }
}

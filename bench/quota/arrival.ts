/** One request's arrival at the upstream, and whether the limiter let it pass. Times are those of `nowMs`. */
export type Arrival = { at: number; accepted: boolean; client: number };

/** Milliseconds on a clock that all processes of this machine share. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A path that names its client and the number of its request, where a file's uuid would be. */
export const pathOf = (client: number, request: number): string =>
  `/bench/app/chatfiles/${hex(client, 8)}-0000-4000-8000-${hex(request, 12)}`;

/** The client that a path names. */
export const clientOf = (path: string): number => Number.parseInt(path.slice('/bench/app/chatfiles/'.length, 29), 16);

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

/** The traffic of a rolling restart: everything that can be under way in a replica that leaves, each answer looked at. */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { multipartOf, sha256 } from './ask.ts';
import { bearer, CHATFILES, fileOf } from './easemob.ts';

/** What a client of the load needs: where, as whom, and a file to download with the digest of its bytes. */
export type LoadPlan = { url: string; token: string; file: { uuid: string; digest: string } };

/** What became of all requests, by kind; `lost` says of each that was not answered as it should be how it ended. */
export type Account = { answered: Record<string, number>; lost: string[]; uploaded: Set<string> };

type Question = { method?: string; path: string; headers: Record<string, string>; body?: Buffer; paceMs?: number };
type Answer = { status: number; body: Buffer };

/** Sends until it is stopped; then waits for what is under way. */
export function startLoad({ url, token, file }: LoadPlan): { stop(): Promise<Account> } {
  // It closes idle connections before the replicas do, as docs/operating.md asks of whoever sends.
  const agent = new Agent({ keepAlive: true, maxSockets: 64, timeout: 800 });
  const account: Account = { answered: {}, lost: [], uploaded: new Set() };
  const going = new Set<Promise<void>>();
  const over = new AbortController();

  const ask = ({ method = 'GET', path, headers, body, paceMs = 0 }: Question): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const length = body ? { 'content-length': String(body.length) } : {};
      const outgoing = request(`${url}${path}`, { method, agent, headers: { ...headers, ...length } });
      outgoing.on('error', reject);
      outgoing.on('response', (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          if (paceMs === 0) return;
          answer.pause();
          setTimeout(() => answer.resume(), paceMs);
        });
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      outgoing.end(body);
    });

  const judge = async (kind: string, question: Question, isRight: (body: Buffer) => boolean) => {
    try {
      const { status, body } = await ask(question);
      if (status === 200 && isRight(body)) account.answered[kind] = (account.answered[kind] ?? 0) + 1;
      else account.lost.push(`${kind}: ${status} ${body.toString('utf8', 0, 200)}`);
    } catch (error) {
      account.lost.push(`${kind}: ${String(error)}`);
    }
  };
  const count = (...asked: Parameters<typeof judge>) => {
    const judged = judge(...asked).finally(() => going.delete(judged));
    going.add(judged);
  };

  const headers = bearer(token);
  const address = `${CHATFILES}/${file.uuid}`;
  const every = async (ms: number, send: () => void) => {
    while (!over.signal.aborted) {
      send();
      await sleep(ms);
    }
  };
  const upload = () => {
    const bytes = fileOf(100_000);
    account.uploaded.add(sha256(bytes));
    const { contentType, body } = multipartOf(bytes);
    const fields = { ...headers, 'content-type': contentType };
    count('upload', { method: 'POST', path: CHATFILES, headers: fields, body }, (answer) => answer.includes('uuid'));
  };
  const download = () =>
    count('streamed', { path: address, headers, paceMs: 15 }, (answer) => sha256(answer) === file.digest);
  // A size of one's own is never kept: each goes upstream, and a dozen at once has to wait in line.
  const thumbnails = () => {
    for (let width = 100; width < 110; width += 1) {
      const fields = { ...headers, thumbnail: 'true', 'thumbnail-width': String(width) };
      count('queued', { path: address, headers: fields }, (answer) => answer.length > 0);
    }
  };
  const kept = () =>
    count('kept', { path: address, headers: { ...headers, thumbnail: 'true' } }, (answer) => answer.length > 0);

  const loops = [every(250, upload), every(1000, download), every(1000, thumbnails), every(50, kept)];
  return {
    async stop() {
      over.abort();
      await Promise.all(loops);
      await Promise.all(going);
      agent.destroy();
      return account;
    },
  };
}

/**
 * What the audit log is told of a file: gathered while it goes by, and written down when the exchange has ended.
 */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Audit } from '../audit/audit.ts';
import type { AuditConfig } from '../audit/config.ts';
import { GatewayError } from '../errors.ts';
import { type Sniffed, sniff, SNIFF_BYTES } from '../policy/sniff.ts';
import { readToken } from '../policy/token.ts';
import type { Exchange } from './exchange.ts';
import type { Summary } from './summarize.ts';

/** A file on its way. */
export type Movement = {
  direction: 'up' | 'down';
  /** `org/app` as it was asked for, whether it may be reached or not. */
  app: string | undefined;
  /** What the upstream calls it; an upload learns that from the answer, and may be told several. */
  files: readonly string[];
  /** What its client calls it. */
  names: readonly string[];
  /** Of a file in a form: of it alone. */
  bytes?: number;
  sniffed?: Sniffed | undefined;
  /** Sees the bytes go by, if somebody wants to know of them. */
  content?: Content | undefined;
};

/** Bytes that went by: how they began, and their digest, if it was asked for. */
export class Content {
  #head: Buffer = Buffer.alloc(0);
  readonly #hash: Hash | undefined;
  #bytes = 0;

  constructor(hasDigest: boolean) {
    this.#hash = hasDigest ? createHash('sha256') : undefined;
  }

  get head(): Buffer {
    return this.#head;
  }

  /** How many there were. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the next bytes; keeps none but the first. */
  take(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    const room = SNIFF_BYTES - this.#head.length;
    if (room > 0) this.#head = Buffer.concat([this.#head, bytes.subarray(0, room)]);
    this.#hash?.update(bytes);
  }

  /** The digest of all that came; asked for once. */
  digest(): string | undefined {
    return this.#hash?.digest('hex');
  }
}

/** Shows bytes of an answer, if it is a file on its way down: what answers an upload is none. */
export function seeAnswer({ movement }: Exchange, bytes: Uint8Array): void {
  if (movement?.direction === 'down') movement.content?.take(bytes);
}

/** Who writes files down. */
export type Witness = {
  /** Begins to look at a request for a file; refuses it where none may pass unseen and nothing can be written. */
  begin(exchange: Exchange, movement: Pick<Movement, 'direction' | 'app'> & { file?: string | undefined }): Movement;
  /** Whether nothing may pass at the moment. */
  readonly isBlind: boolean;
  /** Writes it down. */
  end(req: IncomingMessage, exchange: Exchange, summary: Summary): void;
};

const RETRY_MS = 1000;

/** Opens a witness, who sees little and writes nothing where there is no audit log. */
export function createWitness(
  audit: Audit | undefined,
  { digest, fileNames, required }: Pick<AuditConfig, 'digest' | 'fileNames' | 'required'>,
): Witness {
  const isBlind = () => required && audit?.trouble !== undefined;
  return {
    get isBlind() {
      return isBlind();
    },
    begin(exchange, { direction, app, file }) {
      const content = audit && new Content(digest);
      const movement: Movement = { direction, app, files: file ? [file] : [], names: [], content };
      exchange.movement = movement;
      if (!isBlind()) return movement;
      throw new GatewayError('AUDIT_UNAVAILABLE', { retryAfterMs: RETRY_MS, reason: `audit log: ${audit?.trouble}` });
    },
    end(req, { movement }, summary) {
      if (!audit || !movement) return;
      const token = readToken(req.headers.authorization);
      const who = 'allowed' in token ? undefined : audit.fingerprint(token.value);
      void writeDown(movement, who, summary, { audit, fileNames });
    },
  };
}

async function writeDown(
  movement: Movement,
  token: string | undefined,
  summary: Summary,
  { audit, fileNames }: { audit: Audit; fileNames: boolean },
): Promise<void> {
  const { content, direction, app, files, names, bytes } = movement;
  const sniffed = await sniffedOf(movement);
  const isDone = summary.error === undefined && summary.status < 400;
  const line = {
    id: summary.id,
    client: summary.client,
    app: isPlausible(app) ? app : 'other',
    token,
    route: summary.route,
    direction,
    files,
    name: fileNames ? names[0] : undefined,
    bytes: direction === 'down' ? summary.bytesOut : (bytes ?? content?.bytes ?? 0),
    type: sniffed?.type,
    // Of what broke off, a digest would be of nothing that anybody has.
    sha256: isDone && (content?.head.length ?? 0) > 0 ? content?.digest() : undefined,
    scan: summary.scan,
    decision: summary.decision,
    reason: summary.error,
    wouldDeny: summary.wouldDeny,
    status: summary.status,
    done: isDone,
    from: direction === 'down' ? sourceOf(summary) : undefined,
  };
  audit.write(line, !mayHaveMoved(movement, summary));
}

/** Whether anything of the file may have left for where it was to go. */
function mayHaveMoved({ direction, content }: Movement, { attempts, status }: Summary): boolean {
  if (direction === 'up') return attempts > 0;
  // 499: its client left on the way.
  return (content?.bytes ?? 0) > 0 && (status < 400 || status === 499);
}

const sniffedOf = ({ sniffed: known, content }: Movement): Promise<Sniffed | undefined> =>
  known || !content ? Promise.resolve(known) : sniff(content.head);

/** What is long may be a token that somebody put into the path. */
const isPlausible = (app: string | undefined): boolean => app !== undefined && /^[^/]{1,36}\/[^/]{1,36}$/.test(app);

function sourceOf({ cache = '', attempts }: Summary): string | undefined {
  const hit = /; hit; detail=(\w+)/.exec(cache)?.[1];
  if (hit !== undefined) return hit;
  if (cache.includes('collapsed')) return 'shared';
  return attempts > 0 ? 'upstream' : undefined;
}

import { showControls } from '../log-line.ts';
import { scrubText } from '../scrub.ts';

/** What is told of one file on its way; absent is what is not known, or was not asked for. */
export type AuditEntry = {
  /** The request's id, as in the log and in the answer. */
  id: string;
  client: string;
  /** `org/app`, as it was asked for. */
  app: string | undefined;
  token: string | undefined;
  /** upload, download, thumbnail, shared-file or part-upload; and which way its bytes went. */
  route: string;
  direction: 'up' | 'down';
  files: readonly string[];
  name: string | undefined;
  bytes: number;
  /** What its first bytes show. */
  type: string | undefined;
  sha256: string | undefined;
  scan: string | undefined;
  decision: string;
  reason: string | undefined;
  wouldDeny: string | undefined;
  status: number;
  /** Whether all of it came where it was to go. */
  done: boolean;
  /** memory, disk, grace or shared where it came from the cache or another's fetch; upstream where that was asked. */
  from: string | undefined;
};

const MAX_FILES = 8;
const MAX_NAME = 120;

/** One entry as one line of JSON, which is short, holds no secret, and can do nothing to a terminal. */
export function auditLine(entry: AuditEntry, at: number): string {
  const { id, client, app, files, name, ...rest } = entry;
  const line = {
    log: 'audit',
    time: new Date(at).toISOString(),
    id,
    client,
    app: app === undefined ? undefined : text(app),
    // What a client put in the place of a file's name may be a secret that it has mislaid.
    file: files.length === 0 ? undefined : files.slice(0, MAX_FILES).map(text).join(' '),
    name: name === undefined ? undefined : text(name.slice(0, MAX_NAME)),
    ...rest,
  };
  return `${showControls(JSON.stringify(line))}\n`;
}

const text = (value: string): string => scrubText(value).slice(0, MAX_NAME);

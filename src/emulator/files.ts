import { randomBytes, createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError } from './errors.ts';
import type { EmulatorOptions } from './options.ts';
import { createTemporaryFolder } from './temporary-folder.ts';
import { timeUuid, uuidText } from './time-uuid.ts';

/** What an upload says about its file. */
export type FileFacts = {
  org: string;
  app: string;
  contentType: string;
  restricted: boolean;
  box: { width: number; height: number };
};

/** A file that was uploaded; an expired one is remembered without its bytes. */
export type StoredFile = FileFacts & {
  uuid: string;
  path: string;
  bytes: number;
  createdAt: number;
  expiresAt: number;
  secret: string | undefined;
  /** Undefined until one was asked for; `'none'` when none can be made of it. */
  thumbnail: { path: string; bytes: number; contentType: string } | 'none' | undefined;
};

/** A file that is being received: it becomes a stored file at once, or leaves nothing. */
export type IncomingFile = {
  write(source: AsyncIterable<Buffer>): Promise<void>;
  /** Known when all was written, and only if hashing is on. */
  sha256(): string | undefined;
  keep(facts: FileFacts): Promise<StoredFile>;
  discard(): Promise<void>;
};

/** The folder of files, which never holds more than its bound. */
export type FileStore = AsyncDisposable & {
  receive(): IncomingFile;
  find(uuid: string): StoredFile | undefined;
  isExpired(file: StoredFile): boolean;
  forget(uuid: string): boolean;
  expire(uuid: string): boolean;
  attachThumbnail(file: StoredFile, made: { data: Buffer; contentType: string } | 'none'): Promise<void>;
  usage(): { files: number; bytes: number };
};

type StoreOptions = Pick<EmulatorOptions, 'storage' | 'fileLifetimeSeconds' | 'hashUploads' | 'now'>;

const SECRET_TAIL_BYTES = 20;

// Nobody waits for it, and what is left goes with the folder.
const remove = (path: string): void => void rm(path, { force: true }).catch(() => {});

/** Opens an empty store in a temporary folder. */
export async function createFileStore(options: StoreOptions): Promise<FileStore> {
  const { storage, fileLifetimeSeconds, hashUploads, now } = options;
  const folder = await createTemporaryFolder(storage.dir);
  // In the order of their upload, the oldest first.
  const files = new Map<string, StoredFile>();
  // Every byte in the folder: files, thumbnails, and what is being received.
  let heldBytes = 0;
  let incomingCount = 0;

  const empty = (file: StoredFile): void => {
    heldBytes -= file.bytes;
    remove(file.path);
    if (typeof file.thumbnail === 'object') {
      heldBytes -= file.thumbnail.bytes;
      remove(file.thumbnail.path);
    }
    file.bytes = 0;
    file.thumbnail = undefined;
  };

  const forget = (uuid: string): boolean => {
    const file = files.get(uuid);
    if (file === undefined) return false;
    files.delete(uuid);
    empty(file);
    return true;
  };

  const makeRoom = (): void => {
    for (const uuid of files.keys()) {
      if (heldBytes <= storage.maxBytes && files.size <= storage.maxFiles) return;
      forget(uuid);
    }
  };

  const receive = (): IncomingFile => {
    incomingCount += 1;
    const path = join(folder.path, `incoming-${incomingCount}`);
    const hash = hashUploads ? createHash('sha256') : undefined;
    let bytes = 0;
    let over = false;

    return {
      async write(source) {
        await using handle = await open(path, 'wx');
        for await (const chunk of source) {
          bytes += chunk.length;
          heldBytes += chunk.length;
          makeRoom();
          if (heldBytes > storage.maxBytes) throw new ApiError('STORAGE_FULL');
          hash?.update(chunk);
          await handle.write(chunk);
        }
      },
      sha256: () => hash?.copy().digest('hex'),
      async keep(facts) {
        const createdAt = now();
        const uuid = uuidText(timeUuid(createdAt));
        const kept = join(folder.path, uuid);
        await rename(path, kept);
        over = true;
        const secret = facts.restricted
          ? Buffer.concat([timeUuid(createdAt), randomBytes(SECRET_TAIL_BYTES)]).toString('base64url')
          : undefined;
        const expiresAt = createdAt + fileLifetimeSeconds * 1000;
        const file = { ...facts, uuid, path: kept, bytes, createdAt, expiresAt, secret, thumbnail: undefined };
        files.set(uuid, file);
        makeRoom();
        return file;
      },
      async discard() {
        if (over) return;
        over = true;
        heldBytes -= bytes;
        await rm(path, { force: true });
      },
    };
  };

  const isExpired = (file: StoredFile): boolean => {
    if (file.expiresAt > now()) return false;
    if (file.bytes > 0) empty(file);
    return true;
  };

  return {
    receive,
    find: (uuid) => files.get(uuid),
    isExpired,
    forget,
    expire(uuid) {
      const file = files.get(uuid);
      if (file === undefined) return false;
      file.expiresAt = -Infinity;
      return isExpired(file);
    },
    async attachThumbnail(file, made) {
      if (made === 'none') {
        file.thumbnail = 'none';
        return;
      }
      const path = `${file.path}.thumbnail`;
      await using handle = await open(path, 'w');
      await handle.write(made.data);
      // The file may have been forgotten while its thumbnail was made.
      if (files.get(file.uuid) !== file || isExpired(file)) return remove(path);
      file.thumbnail = { path, bytes: made.data.length, contentType: made.contentType };
      heldBytes += made.data.length;
      makeRoom();
    },
    usage: () => ({ files: files.size, bytes: heldBytes }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

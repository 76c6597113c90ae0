import type { SiblingKind } from '../policy/passthrough.ts';

/** By which methods each kind of path beside the files is asked. */
export const METHODS_BESIDE: Readonly<Record<SiblingKind, string>> = {
  token: 'POST',
  'share-files': 'GET, HEAD, POST',
  'share-file': 'GET, HEAD, DELETE',
  'part-uploads': 'POST',
  'part-upload': 'PUT, POST, DELETE',
  parts: 'GET, HEAD',
  other: 'GET, HEAD, POST, PUT, DELETE',
};

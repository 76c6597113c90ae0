import { allow, type Decision, deny } from './decision.ts';

// Opaque, but never a list: a repeated header that some hop has joined has a comma and a space in it.
const SECRET = /^[\x21-\x2b\x2d-\x7e]{1,512}$/;

/** Whether a request names at most one share-secret; `header` and `query` are what it gave in these places. */
export function checkSecret(header: string | undefined, query: string | undefined): Decision {
  for (const secret of [header, query]) {
    if (secret !== undefined && secret !== '' && !SECRET.test(secret)) {
      return deny('FIELD_INVALID', 'the share-secret is malformed');
    }
  }
  if (header !== undefined && query !== undefined && header !== query) {
    return deny('SECRET_AMBIGUOUS', 'the share-secrets of header and query differ');
  }
  return allow;
}

/**
 * Which of a file's forms a request asks for, and whether an answer to it may be kept for others.
 *
 * Only what is spelled exactly as here asks for a form that is kept: how the upstream reads any other spelling (another
 * case, a percent-encoding, `thumbnail: false`) is not known, and a picture kept under the wrong name would be shown to
 * everybody. Whatever else a request says goes upstream as it is, and is kept for nobody.
 */

/** The forms that are kept, by what asks for them; a closed set, so that nobody can fill the cache with names for one file. */
const FORMS: Readonly<Record<string, Variant>> = {
  '': 'original',
  header: 'thumbnail',
  'header,thumbnail=true': 'thumbnail-both',
  'thumbnail=true': 'thumbnail-query',
  'vframe=true': 'vframe',
  'header,vframe=true': 'vframe-both',
  'size=small': 'small',
  'size=large': 'large',
};

/** A form of a file that may be kept. */
export type Variant =
  | 'original'
  | 'thumbnail'
  | 'thumbnail-both'
  | 'thumbnail-query'
  | 'vframe'
  | 'vframe-both'
  | 'small'
  | 'large';

/** What is asked for. `isSmall`: a picture made from the file; `variant` only where an answer may be kept. */
export type Wish = { isSmall: boolean; variant: Variant | undefined };

/** The fields of a request that say which form it is for. */
export type WishFields = Readonly<Record<string, string | string[] | undefined>>;

/** Fields that change what the upstream answers in a way that nothing kept can repeat. */
const UNKEPT = ['thumbnail-width', 'thumbnail-height', 'if-match', 'if-unmodified-since'];

/** A secret that every reader reads alike: to some a plus sign is a space, and a semicolon begins another parameter. */
const SECRET = /^share-secret=[^+;]*$/;

/** Reads what a download asks for; `query` is raw, and has passed the query policy. */
export function readWish(fields: WishFields, query: string): Wish {
  const pairs = query === '' ? [] : query.split('&');
  const asked = pairs.filter((pair) => !SECRET.test(pair));
  const header = fields['thumbnail'];
  const form = [...(header === undefined ? [] : ['header']), ...asked].join(',');
  const isKept = (header === undefined || header === 'true') && UNKEPT.every((name) => fields[name] === undefined);
  return {
    // By the header's presence (Easemob docs), or in the query as web SDKs do.
    isSmall: header !== undefined || pairs.some((pair) => /^(?:thumbnail=true|vframe=true|size=small)$/i.test(pair)),
    variant: isKept ? (Object.hasOwn(FORMS, form) ? FORMS[form] : undefined) : undefined,
  };
}

/** What an upstream's refusal is about: the token, what its bearer may do at all, or something else. */
export type RefusalKind = 'token-refused' | 'service-forbidden' | 'other';

/** An upstream's refusal, as far as it can be told from its head and its JSON. */
export type Refusal = { status: number; error?: string | undefined; description?: string | undefined };

/**
 * Judges a refusal. Only one that is about the token itself takes its grant away: a 401 also says that the token is a
 * good one for something else ("Subject does not have permission …"), or comes from a hop that knows nothing of tokens.
 */
export function judgeRefusal({ status, error = '', description = '' }: Refusal): RefusalKind {
  if (status === 401 && (error === 'auth_bad_access_token' || /^unable to authenticate\b/i.test(description))) {
    return 'token-refused';
  }
  // The user or the app is banned.
  if (status === 403 && error === 'forbidden_service_operation') return 'service-forbidden';
  return 'other';
}

/** Whether a refusal says that there is no such file, or no longer. */
export const isFileGone = ({ status, error }: Refusal): boolean =>
  status === 404 && (error === 'entity_not_found' || error === 'file_expired');

/** Whether a refusal says that these credentials do not open this file. */
export const isFileRefused = (refusal: Refusal): boolean => refusal.status === 403 && judgeRefusal(refusal) === 'other';

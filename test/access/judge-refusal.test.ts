import { describe, expect, it } from 'vitest';
import { isFileGone, isFileRefused, judgeRefusal, type Refusal } from '../../src/access/judge-refusal.ts';

const refusal = (status: number, error?: string, description?: string): Refusal => ({ status, error, description });

describe('what a refusal is about', () => {
  it.each([
    [401, 'unauthorized', 'Unable to authenticate (OAuth)', 'token-refused'],
    [401, 'unauthorized', 'Unable to authenticate due to expired access token', 'token-refused'],
    [401, 'auth_bad_access_token', 'Unable to authenticate due to corrupt access token', 'token-refused'],
    [401, 'auth_bad_access_token', 'Unable to authenticate', 'token-refused'],
    [401, 'auth_bad_access_token', undefined, 'token-refused'],
    [401, 'unauthorized', 'Subject does not have permission [applications:post:x]', 'other'],
    [401, 'unauthorized', undefined, 'other'],
    [401, undefined, undefined, 'other'],
    [403, 'forbidden_service_operation', 'Service operation not allowed', 'service-forbidden'],
    [403, 'forbidden', 'chatfile no permission', 'other'],
    [403, 'unauthorized', 'Unable to authenticate (OAuth)', 'other'],
    [404, 'entity_not_found', 'file may not exists', 'other'],
    [404, 'file_expired', 'file x is expired', 'other'],
    [429, 'reach_limit', 'This request has reached api limit', 'other'],
    [500, 'web_application', 'Unable to authenticate', 'other'],
    [503, undefined, 'Service Unavailable', 'other'],
  ] as const)('%i %s, %s: %s', (status, error, description, expected) => {
    expect(judgeRefusal(refusal(status, error, description))).toBe(expected);
  });

  it('a file is gone when the upstream says so of the file, not of the app or the path', () => {
    expect(isFileGone(refusal(404, 'entity_not_found'))).toBe(true);
    expect(isFileGone(refusal(404, 'file_expired'))).toBe(true);
    expect(isFileGone(refusal(404, 'organization_application_not_found'))).toBe(false);
    expect(isFileGone(refusal(404))).toBe(false);
    expect(isFileGone(refusal(410, 'file_expired'))).toBe(false);
  });

  it('credentials are refused for a file by a 403 that is not about the bearer', () => {
    expect(isFileRefused(refusal(403, 'forbidden', 'chatfile no permission'))).toBe(true);
    expect(isFileRefused(refusal(403))).toBe(true);
    expect(isFileRefused(refusal(403, 'forbidden_service_operation'))).toBe(false);
    expect(isFileRefused(refusal(401, 'unauthorized'))).toBe(false);
  });
});

/** One refusal of the cloud: its status, and the words that clients compare with. */
export type Refusal = { status: number; error: string; exception: string; description: string };

const refusal = (status: number, error: string, exception: string, description: string): Refusal => ({
  status,
  error,
  exception,
  description,
});

const SECURITY = 'EasemobSecurityException';
const ARGUMENT = 'java.lang.IllegalArgumentException';
const GRANT = 'org.apache.usergrid.management.exceptions.InvalidGrantException';
const NOT_FOUND = 'org.apache.usergrid.services.exceptions.ServiceResourceNotFoundException';

/** Every refusal that the emulator can give by itself. */
export const REFUSALS = {
  FILE_MISSING: refusal(400, 'illegal_argument', ARGUMENT, 'file must be provided.'),
  BODY_MALFORMED: refusal(400, 'illegal_argument', ARGUMENT, 'The request body is malformed.'),
  USERNAME_ILLEGAL: refusal(400, 'illegal_argument', ARGUMENT, 'username is not legal'),
  PASSWORD_MISSING: refusal(400, 'illegal_argument', ARGUMENT, 'password must be provided.'),
  USER_EXISTS: refusal(
    400,
    'duplicate_unique_property_exists',
    'org.apache.usergrid.persistence.exceptions.DuplicateUniquePropertyExistsException',
    'Entity user requires that property named username be unique',
  ),
  GRANT_UNKNOWN: refusal(400, 'unsupported_grant_type', GRANT, 'grant_type is not supported'),
  GRANT_INCOMPLETE: refusal(400, 'invalid_grant', GRANT, 'invalid username or password'),
  PASSWORD_WRONG: refusal(400, 'invalid_grant', GRANT, 'invalid password'),
  USER_INACTIVE: refusal(400, 'invalid_grant', GRANT, 'user not activated'),
  CLIENT_WRONG: refusal(400, 'invalid_grant', GRANT, 'client_id does not match'),
  USER_UNKNOWN: refusal(404, 'invalid_grant', GRANT, 'user not found'),

  TOKEN_MISSING: refusal(401, 'unauthorized', SECURITY, 'Unable to authenticate (OAuth)'),
  TOKEN_UNKNOWN: refusal(401, 'unauthorized', SECURITY, 'Unable to authenticate (OAuth)'),
  TOKEN_EXPIRED: refusal(401, 'unauthorized', SECURITY, 'Unable to authenticate due to expired access token'),
  TOKEN_MALFORMED: refusal(
    401,
    'auth_bad_access_token',
    SECURITY,
    'Unable to authenticate due to corrupt access token',
  ),
  TOKEN_FOREIGN: refusal(401, 'auth_bad_access_token', SECURITY, 'Unable to authenticate'),

  SECRET_WRONG: refusal(403, 'forbidden', SECURITY, 'chatfile no permission'),
  FILE_UNKNOWN: refusal(404, 'entity_not_found', 'EntityNotFoundException', 'file may not exists'),
  FILE_EXPIRED: refusal(404, 'file_expired', 'FileExpiredException', 'file is expired'),
  APP_UNKNOWN: refusal(
    404,
    'organization_application_not_found',
    'org.apache.usergrid.rest.exceptions.OrganizationApplicationNotFoundException',
    'Could not find application',
  ),
  PATH_UNKNOWN: refusal(404, 'service_resource_not_found', NOT_FOUND, 'Service resource not found'),
  METHOD_UNKNOWN: refusal(405, 'web_application', 'javax.ws.rs.WebApplicationException', 'Method Not Allowed'),
  PRECONDITION: refusal(412, 'web_application', 'javax.ws.rs.WebApplicationException', 'Precondition Failed'),
  FILE_TOO_LARGE: refusal(
    413,
    'file exceeding maximum limit',
    'FileSizeException',
    'the file size exceeds the maximum limit.',
  ),
  MEDIA_UNKNOWN: refusal(415, 'web_application', 'javax.ws.rs.WebApplicationException', 'Unsupported Media Type'),
  RANGE_OUTSIDE: refusal(416, 'web_application', 'javax.ws.rs.WebApplicationException', 'Range Not Satisfiable'),
  EXPECTATION: refusal(417, 'web_application', 'javax.ws.rs.WebApplicationException', 'Expectation Failed'),
  REACH_LIMIT: refusal(429, 'reach_limit', 'ReachLimitException', 'This request has reached api limit'),
  RESOURCE_LIMITED: refusal(
    429,
    'resource_limited',
    'ResourceLimitedException',
    'You have exceeded the limit of the emulator edition.',
  ),
  FAULT: refusal(500, 'web_application', 'java.lang.RuntimeException', 'Internal Server Error'),
  UNAVAILABLE: refusal(503, 'service_unavailable', 'ServiceUnavailableException', 'Service Unavailable'),
  STORAGE_FULL: refusal(507, 'insufficient_storage', 'StorageException', 'Insufficient Storage'),
} as const satisfies Record<string, Refusal>;

/** A name in the table of refusals. */
export type RefusalCode = keyof typeof REFUSALS;

/** What may differ from the table in one case. */
export type RefusalDetails = { status?: number; description?: string; headers?: Record<string, string> };

/** Thrown by a handler to refuse a request in the cloud's words. */
export class ApiError extends Error {
  readonly code: RefusalCode;
  readonly refusal: Refusal;
  readonly headers: Record<string, string>;

  constructor(code: RefusalCode, { status, description, headers = {} }: RefusalDetails = {}) {
    const usual = REFUSALS[code];
    super(description ?? usual.description);
    this.name = 'ApiError';
    this.code = code;
    this.refusal = { ...usual, status: status ?? usual.status, description: description ?? usual.description };
    this.headers = headers;
  }
}

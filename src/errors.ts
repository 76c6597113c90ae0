/**
 * Every way a request can fail, on one page.
 *
 * A kind's `error` and `message` are what Easemob's own servers say in that case wherever they have a word for it
 * (Easemob docs, REST error codes), so that client SDKs recognise them. Nothing of the request is ever part of them.
 */

/** Whose fault a failure is: the client's, this gateway's, or Easemob's. */
export type Source = 'downstream' | 'gateway' | 'upstream';

/** One way to fail: the status and the words a client gets, and whose fault it is. */
export type Kind = { status: number; source: Source; error: string; exception: string; message: string };

const kind = (status: number, source: Source, error: string, exception: string, message: string): Kind => ({
  status,
  source,
  error,
  exception,
  message,
});

const SECURITY = 'EasemobSecurityException';
const ARGUMENT = 'IllegalArgumentException';
const NOT_FOUND = 'NotFoundException';
const THROTTLED = 'ServiceUnavailableException';
const UPSTREAM = 'UpstreamException';

/** The table of all kinds, by the code that logs and metrics use. */
export const KINDS = {
  REQUEST_MALFORMED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'The request is malformed.'),
  TLS_REQUIRED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'TLS is spoken here: use https://.'),
  HOST_INVALID: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'One valid Host header must be given.'),
  FIELD_REPEATED: kind(
    400,
    'downstream',
    'illegal_argument',
    ARGUMENT,
    'A header that may be given once was repeated.',
  ),
  FIELD_INVALID: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'A header has an invalid value.'),
  QUERY_REFUSED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'A query parameter is not accepted here.'),
  QUERY_REPEATED: kind(
    400,
    'downstream',
    'illegal_argument',
    ARGUMENT,
    'A query parameter that may be given once was repeated.',
  ),
  SECRET_AMBIGUOUS: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'Two different share-secrets were given.'),
  BODY_UNEXPECTED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'This request takes no body.'),
  MULTIPART_MALFORMED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'The multipart body is malformed.'),
  FILE_MISSING: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'file must be provided.'),
  FILE_REPEATED: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'Exactly one file must be provided.'),
  FILE_EMPTY: kind(400, 'downstream', 'illegal_argument', ARGUMENT, 'The file is empty.'),

  // The word by which SDKs know a file that was refused for what is in it.
  CONTENT_REFUSED: kind(400, 'downstream', 'content improper', ARGUMENT, 'Files of this kind are not accepted here.'),
  FILE_INFECTED: kind(400, 'downstream', 'content improper', ARGUMENT, 'The file was found to be malicious.'),
  PARTS_UNJUDGED: kind(
    403,
    'downstream',
    'forbidden',
    'ForbiddenException',
    'Uploads in parts are not accepted here, upload the file at once.',
  ),
  BODY_UNJUDGED: kind(
    403,
    'downstream',
    'forbidden',
    'ForbiddenException',
    'Files are accepted here only where files are uploaded.',
  ),

  TOKEN_MISSING: kind(401, 'downstream', 'unauthorized', SECURITY, 'Unable to authenticate (OAuth)'),
  TOKEN_REFUSED: kind(401, 'upstream', 'unauthorized', SECURITY, 'Unable to authenticate (OAuth)'),
  SERVICE_FORBIDDEN: kind(
    403,
    'upstream',
    'forbidden_service_operation',
    'ForbiddenServiceOperationException',
    'Service operation not allowed',
  ),
  RANGE_UNSATISFIABLE: kind(
    416,
    'downstream',
    'illegal_argument',
    ARGUMENT,
    'The range lies behind the end of the file.',
  ),
  TOKEN_MALFORMED: kind(
    401,
    'downstream',
    'auth_bad_access_token',
    SECURITY,
    'Unable to authenticate due to corrupt access token',
  ),
  TOKEN_EXPIRED: kind(
    401,
    'downstream',
    'unauthorized',
    SECURITY,
    'Unable to authenticate due to expired access token',
  ),

  RESOURCE_UNKNOWN: kind(404, 'downstream', 'service_resource_not_found', NOT_FOUND, 'Service resource not found'),
  DESTINATION_UNKNOWN: kind(
    404,
    'downstream',
    'organization_application_not_found',
    NOT_FOUND,
    'Could not find application',
  ),
  METHOD_NOT_ALLOWED: kind(405, 'downstream', 'method_not_allowed', 'MethodNotAllowedException', 'Method Not Allowed'),
  REQUEST_TOO_SLOW: kind(
    408,
    'downstream',
    'request_timeout',
    'TimeoutException',
    'The request did not arrive in time.',
  ),
  BODY_TOO_LARGE: kind(
    413,
    'downstream',
    'file exceeding maximum limit',
    'FileSizeException',
    'the file size exceeds the maximum limit.',
  ),
  MEDIA_UNSUPPORTED: kind(415, 'downstream', 'web_application', 'NotSupportedException', 'Unsupported Media Type'),
  EXPECTATION_FAILED: kind(417, 'downstream', 'illegal_argument', ARGUMENT, 'Expectation Failed'),
  HEAD_TOO_LARGE: kind(431, 'downstream', 'illegal_argument', ARGUMENT, 'Request Header Fields Too Large'),
  CLIENT_GONE: kind(499, 'downstream', 'client_gone', 'ClientGoneException', 'The client closed the connection.'),
  CODING_UNKNOWN: kind(501, 'downstream', 'illegal_argument', ARGUMENT, 'This transfer coding is not implemented.'),
  VERSION_UNSUPPORTED: kind(505, 'downstream', 'illegal_argument', ARGUMENT, 'HTTP Version Not Supported'),

  CLIENT_LIMITED: kind(
    503,
    'downstream',
    'service_unavailable',
    THROTTLED,
    'Too many requests of this client, pause a little and retry.',
  ),
  CLIENT_LIMITED_429: kind(
    429,
    'downstream',
    'reach_limit',
    'ReachLimitException',
    'This request has reached api limit',
  ),

  GATEWAY_FAULT: kind(502, 'gateway', 'bad_gateway', 'GatewayException', 'Bad Gateway'),
  SPOOL_FULL: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'Too many uploads at once, pause a little and retry.',
  ),
  PARTS_UNCOUNTED: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'Uploads in parts are not possible at the moment, upload the file at once.',
  ),
  SCAN_UNAVAILABLE: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'Files cannot be examined at the moment, pause a little and retry.',
  ),
  AUDIT_UNAVAILABLE: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'Files cannot be accounted for at the moment, pause a little and retry.',
  ),
  QUEUE_FULL: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'Too many requests at once, pause a little and retry.',
  ),
  DRAINING: kind(
    503,
    'gateway',
    'service_unavailable',
    THROTTLED,
    'This server is restarting, pause a little and retry.',
  ),

  UPSTREAM_UNREACHABLE: kind(502, 'upstream', 'bad_gateway', UPSTREAM, 'The upstream cannot be reached.'),
  UPSTREAM_BROKEN: kind(502, 'upstream', 'bad_gateway', UPSTREAM, 'The upstream gave a broken answer.'),
  UPSTREAM_REDIRECT: kind(502, 'upstream', 'bad_gateway', UPSTREAM, 'The upstream redirected elsewhere.'),
  UPSTREAM_TOO_LARGE: kind(
    502,
    'upstream',
    'bad_gateway',
    UPSTREAM,
    'The upstream gave an answer over the size limit.',
  ),
  UPSTREAM_REFUSED: kind(502, 'upstream', 'upstream_error', UPSTREAM, 'The upstream refused the request.'),
  UPSTREAM_THROTTLED: kind(503, 'upstream', 'service_unavailable', THROTTLED, 'Service Unavailable'),
  UPSTREAM_TIMEOUT: kind(
    504,
    'upstream',
    'gateway_timeout',
    'TimeoutException',
    'The upstream did not answer in time.',
  ),
} as const satisfies Record<string, Kind>;

/** A code from the table of kinds. */
export type ErrorCode = keyof typeof KINDS;

/** What may be said beside the code: when to come back, a status to keep, and for the log alone a reason and a cause. */
export type ErrorDetails = {
  /** Told to the client behind the message: words of ours or of a closed set, never the request's own. */
  detail?: string | undefined;
  retryAfterMs?: number | undefined;
  /** Overrides the kind's status, for an upstream's own refusal that is passed on. */
  status?: number | undefined;
  /** For the log only; must hold no secret. */
  reason?: string | undefined;
  cause?: unknown;
};

/** The one error that phases throw: `code` for programs, the kind's message for the client, `reason` and `cause` for the log. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly reason: string | undefined;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(KINDS[code].message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.status = details.status ?? KINDS[code].status;
    this.retryAfterMs = details.retryAfterMs;
    this.reason = details.reason;
    this.detail = details.detail;
  }

  /** Turns anything thrown into a GatewayError; what is not one already is a fault of the gateway. */
  static from(thrown: unknown): GatewayError {
    return thrown instanceof GatewayError ? thrown : new GatewayError('GATEWAY_FAULT', { cause: thrown });
  }
}

/** What was refused by no rule, but for how it came, or because the client left; and what only asked for too much of a file. */
const NO_DECISIONS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CLIENT_GONE',
  'REQUEST_TOO_SLOW',
  'RANGE_UNSATISFIABLE',
]);
/** What was refused here though the fault is not the client's: by what the upstream said a moment ago, or for want of a verdict. */
const OWN_REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'TOKEN_REFUSED',
  'SERVICE_FORBIDDEN',
  'SCAN_UNAVAILABLE',
  'AUDIT_UNAVAILABLE',
  'PARTS_UNCOUNTED',
]);

/** Whether a failure is a decision of this gateway against a request, and not something that befell one that it had allowed. */
export const isDenial = (code: ErrorCode): boolean =>
  OWN_REFUSALS.has(code) || (KINDS[code].source === 'downstream' && !NO_DECISIONS.has(code));

import { z } from 'zod';
import type { Apps } from './apps.ts';
import { ApiError } from './errors.ts';
import type { Handler } from './exchange.ts';
import { readFields } from './fields.ts';
import { jsonAnswer } from './json-answer.ts';
import { requireApp } from './require-app.ts';
import type { Tokens } from './tokens.ts';
import { userEntity } from './users-endpoint.ts';

const text = z.string().catch('');

const grantSchema = z.looseObject({
  grant_type: text,
  username: text,
  password: text,
  client_id: text,
  client_secret: text,
  /** A wished lifetime in seconds. */
  ttl: z.coerce.number().int().min(1).max(0xffff_ffff).optional().catch(undefined),
});

type Grant = z.infer<typeof grantSchema>;

/** Logs users in by their password, and an app's server in by its client id and secret. */
export function createTokenEndpoint(apps: Apps, tokens: Tokens): Handler {
  const byPassword = (org: string, app: string, application: string, { username, password, ttl }: Grant) => {
    if (username === '' || password === '') throw new ApiError('GRANT_INCOMPLETE');
    const user = apps.find(org, app, username);
    if (user === undefined) throw new ApiError('USER_UNKNOWN');
    if (user.password !== password) throw new ApiError('PASSWORD_WRONG');
    if (!user.activated) throw new ApiError('USER_INACTIVE');
    const principal = { kind: 'user' as const, org, app, application, uuid: user.uuid };
    const { token, expiresInSeconds } = tokens.issue(principal, { ttlSeconds: ttl });
    return jsonAnswer(200, { access_token: token, expires_in: expiresInSeconds, user: userEntity(user) });
  };

  const byClient = (org: string, app: string, application: string, { client_id, client_secret, ttl }: Grant) => {
    if (!apps.isClient(org, app, client_id, client_secret)) throw new ApiError('CLIENT_WRONG');
    const principal = { kind: 'app' as const, org, app, application, uuid: application };
    const { token, expiresInSeconds } = tokens.issue(principal, { ttlSeconds: ttl });
    return jsonAnswer(200, { access_token: token, expires_in: expiresInSeconds, application });
  };

  return async (exchange) => {
    const { org, app, application } = requireApp(exchange, apps);
    const parsed = grantSchema.safeParse(await readFields(exchange));
    if (!parsed.success) throw new ApiError('BODY_MALFORMED');
    switch (parsed.data.grant_type) {
      case 'password':
        return byPassword(org, app, application, parsed.data);
      case 'client_credentials':
        return byClient(org, app, application, parsed.data);
      default:
        throw new ApiError('GRANT_UNKNOWN');
    }
  };
}

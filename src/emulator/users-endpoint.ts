import { z } from 'zod';
import type { Apps, User } from './apps.ts';
import { ApiError } from './errors.ts';
import type { Exchange, Handler } from './exchange.ts';
import { envelope, jsonAnswer } from './json-answer.ts';
import { readFields } from './fields.ts';
import { requireApp } from './require-app.ts';

const MAX_BATCH = 60;
const USERNAME = /^[a-z0-9_.-]{1,64}$/i;

const credentialsSchema = z.looseObject({ username: z.string(), password: z.string() });

/** A user as the cloud shows it. */
export const userEntity = ({ uuid, username, activated, createdAt }: User) => ({
  uuid,
  type: 'user',
  created: Math.floor(createdAt),
  modified: Math.floor(createdAt),
  username,
  activated,
});

function readCredentials(given: unknown): { username: string; password: string } {
  const parsed = credentialsSchema.safeParse(given);
  const fields: { username?: unknown; password?: unknown } = typeof given === 'object' && given !== null ? given : {};
  if (typeof fields.username !== 'string' || !USERNAME.test(fields.username)) throw new ApiError('USERNAME_ILLEGAL');
  if (!parsed.success || parsed.data.password === '') throw new ApiError('PASSWORD_MISSING');
  return parsed.data;
}

const taken = (application: string, username: string): ApiError =>
  new ApiError('USER_EXISTS', {
    description: `Application ${application} Entity user requires that property named username be unique, value of ${username} exists`,
  });

/** Open registration of one user, or of several as an array, where names that are taken are told apart from new ones. */
export const createUsersEndpoint =
  (apps: Apps, now: () => number): Handler =>
  async (exchange: Exchange) => {
    const { org, app, application } = requireApp(exchange, apps);
    const body = await readFields(exchange);
    const batch = Array.isArray(body) ? body.map(readCredentials) : [readCredentials(body)];
    if (batch.length === 0 || batch.length > MAX_BATCH) throw new ApiError('BODY_MALFORMED');

    const entities: unknown[] = [];
    const data: unknown[] = [];
    for (const credentials of batch) {
      const user = apps.register({ org, app, ...credentials });
      if (user !== undefined) entities.push(userEntity(user));
      else data.push({ username: credentials.username, registerUsernameFailReason: 'the username already exists' });
    }
    const [first] = batch;
    if (entities.length === 0 && first !== undefined) throw taken(application, first.username);
    const answer = envelope(exchange, now(), { action: 'post', org, app, application, path: '/users', entities });
    return jsonAnswer(200, data.length === 0 ? answer : { ...answer, data });
  };

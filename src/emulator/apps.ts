import { createHash } from 'node:crypto';
import { ApiError } from './errors.ts';
import type { ConfiguredUser, EmulatorOptions } from './options.ts';
import { timeUuid, uuidText } from './time-uuid.ts';

/** A registered user of one app. */
export type User = { uuid: string; username: string; password: string; activated: boolean; createdAt: number };

/** The apps that exist, and their users. */
export type Apps = {
  /** The app's uuid; refuses an app that does not exist, naming the path that was asked for. */
  require(org: string, app: string, path: string): string;
  uuidOf(org: string, app: string): string;
  find(org: string, app: string, username: string): User | undefined;
  /** Undefined when the name is taken. */
  register(user: ConfiguredUser): User | undefined;
  /** Whether the app's server has these credentials. */
  isClient(org: string, app: string, clientId: string, clientSecret: string): boolean;
  readonly userCount: number;
};

const MAX_USERS = 100_000;
const APP_NAME = /^[^/]+\/[^/]+$/;

// JSON of the parts cannot be read two ways, whatever characters a name holds. Names differ by more than case.
const keyOf = (org: string, app: string, username: string): string =>
  JSON.stringify([org, app, username.toLowerCase()]);

/** An app's uuid is made of its name, so that it is the same after a restart. */
function appUuid(org: string, app: string): string {
  const bytes = createHash('sha1')
    .update(JSON.stringify([org, app]))
    .digest()
    .subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return uuidText(bytes);
}

/** Opens the register of apps and users with those that are configured. */
export function createApps(
  { apps, users: configured, clients, now }: Pick<EmulatorOptions, 'apps' | 'users' | 'clients' | 'now'>,
  maxUsers = MAX_USERS,
): Apps {
  const odd = apps === 'any' ? undefined : apps.find((name) => !APP_NAME.test(name));
  if (odd !== undefined) throw new TypeError(`apps: '${odd}' is not of the form org/app`);
  const known = apps === 'any' ? undefined : new Set(apps);
  const users = new Map<string, User>();

  const register: Apps['register'] = ({ org, app, username, password, activated = true }) => {
    const key = keyOf(org, app, username);
    if (users.has(key)) return undefined;
    if (users.size >= maxUsers) throw new ApiError('RESOURCE_LIMITED');
    const createdAt = now();
    const user = {
      uuid: uuidText(timeUuid(createdAt)),
      username: username.toLowerCase(),
      password,
      activated,
      createdAt,
    };
    users.set(key, user);
    return user;
  };

  for (const user of configured) register(user);

  return {
    require(org, app, path) {
      if (known !== undefined && !known.has(`${org}/${app}`)) {
        const description = `Could not find application for ${org}/${app} from URI: ${path}`;
        throw new ApiError('APP_UNKNOWN', { description });
      }
      return appUuid(org, app);
    },
    uuidOf: appUuid,
    find: (org, app, username) => users.get(keyOf(org, app, username)),
    register,
    isClient(org, app, clientId, clientSecret) {
      if (clients === 'any') return clientId !== '' && clientSecret !== '';
      return clients.some(
        (client) =>
          client.org === org &&
          client.app === app &&
          client.clientId === clientId &&
          client.clientSecret === clientSecret,
      );
    },
    get userCount() {
      return users.size;
    },
  };
}

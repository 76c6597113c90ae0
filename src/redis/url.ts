/** The parts of a Redis URL. */
export type RedisUrl = {
  form: 'standalone' | 'sentinel' | 'cluster';
  nodes: RedisNode[];
  master: string | undefined;
  options: { username?: string; password?: string; tls?: Record<string, never>; db?: number };
};

/** Where one server listens. */
export type RedisNode = { host: string; port: number };

/** What is wrong with a URL, in words that repeat nothing of it: any part of it may be a password that slipped. */
export type UrlProblem = { problem: string };

const ENCODE = 'in a user name or a password, / ? # @ and % are written as %2F %3F %23 %40 and %25';

/**
 * Reads a URL of any of the forms, or says which part of it is wrong:
 *   redis://[user:password@]host[:port][/database]                         (rediss: over TLS)
 *   redis+sentinel://[user:password@]host:port,host:port/master[/database] (rediss+sentinel)
 *   redis+cluster://[user:password@]host:port,host:port                    (rediss+cluster)
 */
export function readRedisUrl(url: string): RedisUrl | UrlProblem {
  const [, scheme, form = 'standalone', rest = ''] = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(.*)$/s.exec(url) ?? [];
  if (scheme === undefined) {
    return wrong(
      'must begin with redis:// or rediss://, redis+sentinel:// or redis+cluster://, like redis://host:6379, ' +
        'rediss://user:password@host:6379/0, redis+sentinel://host:26379,host:26379/master',
    );
  }
  if (/[?#]/.test(rest)) return wrong(`must have no ? and no #; ${ENCODE}`);
  const at = rest.indexOf('@');
  const [hosts = '', ...path] = rest.slice(at + 1).split('/');
  if (rest.slice(at + 1).includes('@') || rest.slice(0, Math.max(0, at)).includes('/')) {
    return wrong(`has an @ or a / too many; ${ENCODE}`);
  }
  const user = readUserInfo(rest.slice(0, Math.max(0, at)));
  if (user === undefined) return wrong(`has a % that encodes nothing; ${ENCODE}`);
  const nodes = readNodes(hosts, form === 'sentinel' ? 26_379 : 6379);
  if ('problem' in nodes) return nodes;
  const place = readPath(form as RedisUrl['form'], nodes.length, path);
  if ('problem' in place) return place;
  const { master, db } = place;
  const tls = scheme === 'rediss' ? { tls: {} } : {};
  return {
    form: form as RedisUrl['form'],
    nodes,
    master,
    options: { ...user, ...tls, ...(db === undefined ? {} : { db }) },
  };
}

const wrong = (problem: string): UrlProblem => ({ problem });

/** `user:password`, each percent-encoded; only the first colon divides. */
function readUserInfo(text: string): { username?: string; password?: string } | undefined {
  const colon = text.indexOf(':');
  try {
    const username = decodeURIComponent(colon === -1 ? text : text.slice(0, colon));
    const password = colon === -1 ? '' : decodeURIComponent(text.slice(colon + 1));
    return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
  } catch {
    return undefined;
  }
}

function readNodes(hosts: string, defaultPort: number): RedisNode[] | UrlProblem {
  const nodes: RedisNode[] = [];
  for (const text of hosts.split(',')) {
    if (text === '' || text.startsWith(':')) return wrong('must name a host, and one after each comma');
    const [, bare = text, port] = /^(.*?)(?::([^:\]]*))?$/s.exec(text) ?? [];
    if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
      return wrong('must have a number from 1 to 65535 as the port behind the host');
    }
    const host = URL.parse(`redis://${bare}`)?.hostname;
    if (!host) return wrong('must name a host: a name, an IPv4 address, or an IPv6 address in square brackets');
    nodes.push({ host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? defaultPort : Number(port) });
  }
  return nodes;
}

/** What stands behind the hosts: the name of the master, a database. */
function readPath(
  form: RedisUrl['form'],
  hosts: number,
  path: readonly string[],
): { master: string | undefined; db: number | undefined } | UrlProblem {
  const segments = path.filter((segment) => segment !== '');
  const master = form === 'sentinel' ? segments.shift() : undefined;
  const [database, ...more] = segments;
  if (form === 'standalone' && hosts > 1) {
    return wrong('must name one host; with several it begins with redis+sentinel:// or redis+cluster://');
  }
  if (form === 'sentinel' && master === undefined) {
    return wrong("must name the Sentinels' master behind the hosts, like redis+sentinel://host:26379/master");
  }
  if (form === 'cluster' && database !== undefined) {
    return wrong('must end with the hosts: a Cluster has one database, which has no number');
  }
  if (more.length > 0 || (database !== undefined && !/^\d{1,4}$/.test(database))) {
    return wrong('must end with the number of a database, like /0, or without one');
  }
  return { master, db: database === undefined ? undefined : Number(database) };
}

/**
 * Where an upstream's redirects may lead: the section of the configuration, and the rule.
 *
 * 1. A redirect's goal is one absolute or relative reference, in characters that a URL has.
 * 2. It is followed to https alone, to a host (and port) of the list, which holds names and no addresses, and never with
 *    a user or a password in it.
 */
import { z } from 'zod';
import { whole } from '../quantity.ts';

const hostError = 'must be a host name like files.example.com, *.example.com or files.example.com:8443';
// The last label of a name is never a number: that would be an address.
const HOST =
  /^(?:\*\.)?(?:[A-Za-z0-9_](?:[\w-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?::\d{1,5})?$/;

const isPort = (text: string): boolean => Number(text) >= 1 && Number(text) <= 65_535;

/** What becomes of an upstream's redirect. */
export const redirectsSchema = z
  .strictObject({
    mode: z
      .enum(['follow', 'pass', 'refuse'], { error: 'must be follow, pass or refuse' })
      .optional()
      .describe(
        'What becomes of a redirect of Easemob: follow, pass or refuse; without it, follow if hosts are listed.',
      ),
    hosts: z
      .array(
        z
          .string({ error: hostError })
          .regex(HOST, { error: hostError })
          .refine((host) => isPort(host.split(':')[1] ?? '443'), { error: 'has a port that there is not' })
          .transform((host) => host.toLowerCase()),
        { error: 'must be a list of host names' },
      )
      .max(1000, { error: 'must list no more than 1000 hosts' })
      .default(() => [])
      .describe('The hosts to which redirects are followed, by https: names like files.example.com or *.example.com.'),
    maxHops: whole(1, 10).default(3).describe('How many redirects are followed one after the other.'),
    maxAtOnce: whole(1, 10_000)
      .default(64)
      .describe(
        'How many redirects may be followed at the same time; more wait, and are answered with 503 in the end.',
      ),
  })
  .superRefine(({ mode, hosts }, context) => {
    if (mode !== 'follow' || hosts.length > 0) return;
    const message = 'is follow, but redirects.hosts is empty: list the hosts of the object storage';
    context.addIssue({ code: 'custom', path: ['mode'], message });
  });

/** What becomes of an upstream's redirect. */
export type RedirectsConfig = z.output<typeof redirectsSchema>;

/** The mode that is meant: listing hosts is enough to have them followed. */
export const redirectMode = ({ mode, hosts }: RedirectsConfig): 'follow' | 'pass' | 'refuse' =>
  mode ?? (hosts.length > 0 ? 'follow' : 'refuse');

const STATUSES = new Set([301, 302, 303, 307, 308]);

/** Whether a status says that what is asked for is elsewhere; 304 does not. */
export const isRedirect = (status: number): boolean => STATUSES.has(status);

/** Longer than any signed address of an object storage. */
const MAX_LENGTH = 8192;

/** Where a redirect leads, as it is written; undefined unless that is said once, and in the characters of a URL. */
export function readLocation(rawHeaders: readonly string[]): string | undefined {
  const [location, ...more] = rawHeaders.filter((_, i) => i % 2 === 1 && /^location$/i.test(rawHeaders[i - 1] ?? ''));
  if (location === undefined || more.length > 0 || location.length > MAX_LENGTH) return undefined;
  return /^[\x21-\x5b\x5d-\x7e]+$/.test(location) ? location : undefined;
}

/** A redirect's goal, if it may be followed; else why not, for the log. */
export function goalOf(
  rawHeaders: readonly string[],
  base: URL,
  hosts: readonly string[],
): { goal: URL } | { refused: string } {
  const location = readLocation(rawHeaders);
  const goal = location === undefined ? null : URL.parse(location, base);
  if (!goal) return { refused: 'a redirect without one readable Location' };
  if (goal.protocol !== 'https:') return { refused: 'a redirect to something other than https' };
  if (goal.username !== '' || goal.password !== '') return { refused: 'a redirect with a user in it' };
  if (!isListed(goal, hosts)) return { refused: `a redirect to a host that is not listed: ${goal.host.slice(0, 100)}` };
  goal.hash = '';
  return { goal };
}

/** Whether a URL's host and port are on the list; without a port, an entry means the usual one. */
export function isListed({ hostname, port }: URL, hosts: readonly string[]): boolean {
  return hosts.some((entry) => {
    const [name = '', entryPort = '443'] = entry.split(':');
    if ((port === '' ? '443' : port) !== entryPort) return false;
    return name.startsWith('*.')
      ? hostname.endsWith(name.slice(1)) && hostname.length > name.length - 1
      : hostname === name;
  });
}

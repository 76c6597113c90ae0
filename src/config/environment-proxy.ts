/**
 * The proxy that the variables of other programs name: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
 */
import { findProxyProblem } from '../upstream/config.ts';
import type { Place, Problem } from './problems.ts';
import type { Config } from './schema.ts';
import type { Env } from './sources.ts';

/** What these variables say of a URL: the proxy's URL, or an empty text for none. */
export type ProxyFor = (url: string) => string;

/** Reads these variables as curl does, of which a library reads most: which proxy a URL is reached by, and which of them said so. */
export const readProxies =
  (env: Env, proxyFor: ProxyFor) =>
  (url: string): { proxy: string; name: string } | undefined => {
    const found = isExempt(new URL(url).hostname, env['no_proxy'] ?? env['NO_PROXY'] ?? '') ? '' : proxyFor(url);
    if (found === '') return undefined;
    const scheme = url.startsWith('https:') ? 'https' : 'http';
    const names = [`${scheme}_proxy`, `${scheme}_PROXY`.toUpperCase(), 'all_proxy', 'ALL_PROXY'];
    const name = names.find((each) => env[each]) ?? '';
    const written = env[name] ?? found;
    // Without a scheme it is a plain proxy, as for curl and everybody else; only proxy-from-env gives it the upstream's.
    return { proxy: written.includes('://') ? found : `http://${written}`, name };
  };

/** Whether a name is on the list, or below one that is: the library wants a dot in front of these. */
const isExempt = (hostname: string, list: string): boolean =>
  list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/.test(entry) && `.${hostname}`.endsWith(`.${entry}`));

/** Sets `upstream.proxy` from the environment where that is wanted; gives its place, or what is wrong with it. */
export function obeyEnvironment(
  { upstream }: Config,
  env: Env,
  proxyFor: ProxyFor,
): { place?: Place; problems: Problem[] } {
  if (!upstream.proxyFromEnvironment || upstream.url === undefined) return { problems: [] };
  const found = readProxies(env, proxyFor)(upstream.url);
  if (!found) return { problems: [] };
  const message = findProxyProblem(found.proxy);
  const place: Place = { text: found.name, source: 'environment', order: 0 };
  if (message === undefined) {
    upstream.proxy = found.proxy;
    return { place, problems: [] };
  }
  return { problems: [{ place, path: '', message: `${message} (upstream.proxyFromEnvironment obeys it)` }] };
}

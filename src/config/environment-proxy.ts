/**
 * The proxy that the variables of other programs name: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
 */
import { findProxyProblem } from '../upstream/config.ts';
import type { Place, Problem } from './problems.ts';
import type { Config } from './schema.ts';
import type { Env } from './sources.ts';

/** What these variables say of a URL: the proxy's URL, or an empty text for none. */
export type ProxyFor = (url: string) => string;

/** Sets `upstream.proxy` from the environment where that is wanted; gives its place, or what is wrong with it. */
export function obeyEnvironment(
  { upstream }: Config,
  env: Env,
  proxyFor: ProxyFor,
): { place?: Place; problems: Problem[] } {
  if (!upstream.proxyFromEnvironment || upstream.url === undefined) return { problems: [] };
  const found = proxyFor(upstream.url);
  if (found === '') return { problems: [] };
  const scheme = upstream.url.startsWith('https:') ? 'https' : 'http';
  const name = [`${scheme}_proxy`, `${scheme}_PROXY`.toUpperCase(), 'all_proxy', 'ALL_PROXY'].find((each) => env[each]);
  const written = name === undefined ? undefined : env[name];
  // Without a scheme it is a plain proxy, as for curl and everybody else; only proxy-from-env gives it the upstream's.
  const proxy = written === undefined || written.includes('://') ? found : `http://${written}`;
  const message = findProxyProblem(proxy);
  const place: Place = { text: name ?? '', source: 'environment', order: 0 };
  if (message === undefined) {
    upstream.proxy = proxy;
    return { place, problems: [] };
  }
  return { problems: [{ place, path: '', message: `${message} (upstream.proxyFromEnvironment obeys it)` }] };
}

/** The package brings no types of its own. */
declare module 'proxy-from-env' {
  /** The proxy that the process's environment names for a URL, or an empty text. */
  export function getProxyForUrl(url: string): string;
}

import ipaddr from 'ipaddr.js';

const NAT64 = ipaddr.IPv6.parse('64:ff9b::');
/** All that is given out of IPv6 for use between networks (RFC 4291). */
const GLOBAL = ipaddr.IPv6.parse('2000::');

/**
 * Whether an address is one that everybody can have, and so none of this network: not private, loopback, link-local,
 * shared, reserved, multicast or of a tunnel. An IPv4 address in IPv6 clothing (mapped, or translated by NAT64) is judged
 * by what it is.
 */
export function isPublicAddress(text: string): boolean {
  // A zone makes an address one of this machine's own links.
  if (text.includes('%') || !ipaddr.isValid(text)) return false;
  // The parser takes ::8.8.8.8, which no network knows any more, for a mapped address.
  if (/^::\d+\./.test(text)) return false;
  const address = ipaddr.process(text);
  if (!(address instanceof ipaddr.IPv6)) {
    return ipaddr.IPv4.isValidFourPartDecimal(address.toString()) && address.range() === 'unicast';
  }
  if (address.match(NAT64, 96)) return isPublicAddress(address.toByteArray().slice(12).join('.'));
  return address.match(GLOBAL, 3) && address.range() === 'unicast';
}

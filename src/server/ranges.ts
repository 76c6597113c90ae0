/** Lists of addresses and CIDR ranges: how they are written in the configuration, and asked about. */
import { BlockList, isIP, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

const RANGE_ERROR = 'must be an IP address or a CIDR range like 10.0.0.0/8';

/** A list of addresses and ranges, as an operator writes it in the configuration. */
export function ranges(error = 'must be a list of addresses or CIDR ranges, like 10.0.0.0/8') {
  const each = z.string({ error: RANGE_ERROR }).superRefine(checkRange);
  return z.array(each, { error }).max(1000, { error: 'must list no more than 1000 addresses' });
}

/** Makes the question whether an address is on such a list; IPv4 in IPv6 clothing is itself. */
export function createRanges(list: readonly string[]): (address: string) => boolean {
  const known = new BlockList();
  for (const text of list) {
    const [host = '', prefix] = text.split('/');
    const family = familyOf(host);
    if (prefix === undefined) known.addAddress(host, family);
    else known.addSubnet(host, Number(prefix), family);
  }
  return (address) => {
    // A zone is the listener's business, no part of the address.
    const bare = address.replace(/%.*$/s, '');
    return isIP(bare) !== 0 && known.check(bare, familyOf(bare));
  };
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

function checkRange(text: string, context: z.RefinementCtx<string>): void {
  const [host = '', prefix] = text.split('/');
  // The parser also takes 127.1 and 0x7f.0.0.1, which hardly anybody means, and zones, which no peer address has.
  const known = host.includes(':') ? ipaddr.IPv6.isValid(host) : ipaddr.IPv4.isValidFourPartDecimal(host);
  if (!known || host.includes('%') || (text.includes('/') && !ipaddr.isValidCIDR(text))) {
    context.addIssue({ code: 'custom', message: RANGE_ERROR });
  } else if (prefix !== undefined && Number(prefix) === 0) {
    context.addIssue({
      code: 'custom',
      message: 'would trust every client to name its own address; list the addresses of your proxies',
    });
  }
}

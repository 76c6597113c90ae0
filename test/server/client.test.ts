import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  addressOf,
  createClientKey,
  createForwardedWatch,
  type ForwardedWatch,
  ignoredField,
  networkOf,
  readAddress,
  type Trusts,
} from '../../src/server/client.ts';

const TOKEN = 'YWMtSecretSecretSecret';

describe('the network of a client', () => {
  it.each([
    ['an IPv4 address', '203.0.113.7', '203.0.113.7'],
    ['an IPv4 address in IPv6 clothing', '::ffff:203.0.113.7', '203.0.113.7'],
    ['the same in hexadecimal', '::ffff:cb00:7107', '203.0.113.7'],
    ['an IPv4 address behind a translator', '64:ff9b::cb00:7107', '203.0.113.7'],
    ['the /64 of an IPv6 address', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['the same /64 for its neighbour', '2001:DB8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['another /64', '2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['a link-local address, without its zone', 'fe80::1%eth0', 'fe80::/64'],
    ['this machine', '::1', '::/64'],
    ['no address', 'unknown', 'unknown'],
    ['what only a lenient parser takes for an address', '127.1', 'unknown'],
    ['a text that a header brought', '<script>', 'unknown'],
  ])('is %s', (_what, address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('an address as proxies write it', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    [' 192.0.2.1 ', '192.0.2.1'],
    ['192.0.2.1:51234', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['[::ffff:192.0.2.1]:443', '192.0.2.1'],
    ['', undefined],
    ['unknown', undefined],
    ['_hidden', undefined],
    ['192.0.2.1.5', undefined],
    ['192.0.2.1:99999999', undefined],
    ['0x7f.1', undefined],
    ['2130706433', undefined],
  ])('"%s" is read as %s', (text, address) => {
    expect(readAddress(text)).toBe(address);
  });
});

describe('the key that a client is counted by', () => {
  const keys = (by: 'address' | 'token' | 'app') => {
    const keyOf = createClientKey(by);
    return [
      keyOf('192.0.2.1', 'org/app', TOKEN),
      keyOf('192.0.2.2', 'org/app', TOKEN),
      keyOf('192.0.2.1', 'org/other', TOKEN),
      keyOf('192.0.2.1', 'org/app', `${TOKEN}2`),
    ];
  };
  const classes = (by: 'address' | 'token' | 'app') => {
    const all = keys(by);
    return all.map((key) => all.indexOf(key));
  };

  it('tells addresses apart, and nothing else', () => expect(classes('address')).toEqual([0, 1, 0, 0]));
  // Not by app: one token could be sent to a thousand apps, and be a thousand clients.
  it('tells bearers apart, and nothing else', () => expect(classes('token')).toEqual([0, 0, 0, 3]));
  it('tells apps apart, and nothing else', () => expect(classes('app')).toEqual([0, 0, 2, 0]));

  it.each(['token', 'app'] as const)('is the address until the %s is proven', (by) => {
    const keyOf = createClientKey(by, (app, token) => app === 'org/app' && token === TOKEN);
    expect(keyOf('192.0.2.1', 'org/app', TOKEN)).toMatch(new RegExp(`^${by}:`));
    expect(keyOf('192.0.2.1', 'org/app', 'made-up')).toBe('address:192.0.2.1');
    expect(keyOf('192.0.2.1', 'made/up', TOKEN)).toBe('address:192.0.2.1');
  });

  it('is the same in every process', () => {
    expect(createClientKey('token')('', 'org/app', TOKEN)).toBe('token:mk1dSpXgC9fUYhEhu7sX511C');
    expect(createClientKey('address')('2001:db8::1', '', '')).toBe('address:2001:db8::/64');
  });

  it('never holds a token, and is short whatever the names are', () => {
    const long = 'x'.repeat(300);
    for (const by of ['address', 'token', 'app'] as const) {
      const key = createClientKey(by)('192.0.2.1', `${TOKEN}/${long}`, `${TOKEN}${long}`);
      expect(key).not.toContain(TOKEN);
      expect(key.length).toBeLessThan(50);
    }
  });
});

/** Asks a server with a given trust, from 127.0.0.1, and tells whom it takes for the client. */
async function clientSeen(trust: string[] | number, fields: Record<string, string>, watch: ForwardedWatch = () => {}) {
  const app = express();
  app.set('trust proxy', trust);
  app.get('/', (req, res) => {
    watch(req);
    res.send(addressOf(req, app.get('trust proxy fn') as Trusts));
  });
  const server = app.listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { headers: fields });
  return response.text();
}

describe('the address of a client', () => {
  const HERE = '127.0.0.1';
  it.each<[string, string[] | number, string, string]>([
    ['its peer, when nobody is trusted', [], '198.51.100.1', HERE],
    ['its peer, with a hop count of none', 0, '198.51.100.1', HERE],
    ['its peer, when others are trusted', ['10.0.0.0/8'], '198.51.100.1', HERE],
    ['what a trusted peer says', [HERE], '198.51.100.1', '198.51.100.1'],
    ['the right-most that is not trusted', [HERE, '10.0.0.0/8'], '6.6.6.6, 198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['no trusted address that the client made up', [HERE, '10.0.0.0/8'], '10.9.9.9, 198.51.100.1', '198.51.100.1'],
    ['the last hop, with a count of one', 1, '6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['one hop further, with a count of two', 2, '6.6.6.6, 198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['the left-most, when there are fewer hops than counted', 5, '198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['an address without the port that a proxy added', [HERE], '198.51.100.1:40123', '198.51.100.1'],
    ['an IPv6 address without brackets and port', [HERE], '[2001:db8::7]:40123', '2001:db8::7'],
    ['an IPv4 address without its IPv6 clothing', [HERE], '::ffff:198.51.100.1', '198.51.100.1'],
    ['its peer, when the field holds no address', [HERE], 'unknown', HERE],
    ['its peer, when the field is no list at all', [HERE], ';;;', HERE],
  ])('is %s', async (_what, trust, forwarded, client) => {
    expect(await clientSeen(trust, { 'X-Forwarded-For': forwarded })).toBe(client);
  });

  it('is never read from other fields', async () => {
    const fields = { 'X-Real-IP': '198.51.100.1', Forwarded: 'for=198.51.100.1', 'CF-Connecting-IP': '198.51.100.1' };
    expect(await clientSeen([HERE], fields)).toBe(HERE);
  });
});

describe('a forgotten trustedProxies', () => {
  it.each<[string, Record<string, string>, boolean, string | undefined]>([
    ['nothing to ignore', {}, false, undefined],
    ['a list of an untrusted peer', { 'x-forwarded-for': '192.0.2.1' }, false, 'x-forwarded-for'],
    ['RFC 7239 of an untrusted peer', { forwarded: 'for=192.0.2.1' }, false, 'forwarded'],
    ['one address of an untrusted peer', { 'x-real-ip': '192.0.2.1' }, false, 'x-real-ip'],
    ['a list of a trusted peer', { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1' }, true, undefined],
    ['RFC 7239 alone of a trusted peer', { forwarded: 'for=192.0.2.1' }, true, 'forwarded'],
  ])('is seen by %s', (_what, headers, isTrusted, field) => {
    expect(ignoredField(headers, isTrusted)).toBe(field);
  });

  it('is warned of once, without what the field says', async () => {
    const warnings: unknown[] = [];
    const watch = createForwardedWatch((message, details) => warnings.push([message, details]));
    await clientSeen([], {}, watch);
    expect(warnings).toEqual([]);
    for (const value of ['192.0.2.1', '192.0.2.2']) await clientSeen([], { 'X-Forwarded-For': value }, watch);
    expect(warnings).toEqual([
      [expect.stringContaining('trustedProxies'), { field: 'x-forwarded-for', peer: '127.0.0.1' }],
    ]);
  });

  it('is told from a trusted proxy that uses another field', async () => {
    const warnings: string[] = [];
    const watch = createForwardedWatch((message) => warnings.push(message));
    await clientSeen(['127.0.0.1'], { 'X-Forwarded-For': '192.0.2.1' }, watch);
    expect(warnings).toEqual([]);
    await clientSeen(['127.0.0.1'], { 'X-Real-IP': '192.0.2.1' }, watch);
    expect(warnings).toEqual([expect.stringContaining('only in X-Forwarded-For')]);
  });
});

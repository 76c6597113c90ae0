import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { type ProxyReading, readProxyHeader } from '../../src/server/proxy-header.ts';
import { binaryHeader, binaryHeaderOf, type Ends, lineHeader } from '../kit/proxy-header.ts';

const V4: Ends = { from: '203.0.113.7', to: '192.0.2.1', fromPort: 51_234, toPort: 443 };
const V6: Ends = { from: '2001:db8::7', to: '2001:db8::1', fromPort: 51_234, toPort: 443 };
const REQUEST = Buffer.from('GET / HTTP/1.1\r\n\r\n');
const read = (text: string) => readProxyHeader(Buffer.from(text, 'latin1'));

describe('a PROXY header of version 1', () => {
  it.each([
    ['IPv4', V4],
    ['IPv6', V6],
  ])('names its source: %s', (_family, ends) => {
    const header = lineHeader(ends);
    expect(readProxyHeader(Buffer.concat([header, REQUEST]))).toEqual({
      kind: 'header',
      length: header.length,
      source: { address: ends.from, port: 51_234 },
    });
  });

  it.each(['PROXY UNKNOWN\r\n', 'PROXY UNKNOWN whatever it says 1 2 3\r\n'])('may name nobody: %j', (line) => {
    expect(read(`${line}GET /`)).toEqual({ kind: 'header', length: line.length });
  });

  it('may be as long as the longest line there is, and no longer', () => {
    const longest = `PROXY UNKNOWN ${'f'.repeat(107 - 16)}\r\n`;
    expect(read(longest)).toMatchObject({ kind: 'header', length: 107 });
    expect(read(longest.replace('f', 'ff'))).toMatchObject({ kind: 'broken' });
    // No line end is waited for once none can come any more.
    expect(read('PROXY UNKNOWN '.padEnd(106, 'f'))).toMatchObject({ kind: 'partial' });
    expect(read('PROXY UNKNOWN '.padEnd(107, 'f'))).toMatchObject({ kind: 'broken' });
  });

  it.each([
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234 443 \r\n',
    'PROXY TCP4  203.0.113.7 192.0.2.1 51234 443\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 51234 65536\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 051 443\r\n',
    'PROXY TCP4 203.0.113 192.0.2.1 51234 443\r\n',
    'PROXY TCP4 203.0.113.007 192.0.2.1 51234 443\r\n',
    'PROXY TCP4 2001:db8::7 2001:db8::1 51234 443\r\n',
    'PROXY TCP6 203.0.113.7 192.0.2.1 51234 443\r\n',
    'PROXY TCP6 fe80::1%eth0 2001:db8::1 51234 443\r\n',
    'PROXY UDP4 203.0.113.7 192.0.2.1 51234 443\r\n',
    'PROXY TCP4\t203.0.113.7 192.0.2.1 51234 443\r\n',
    'PROXY TCP4 203.0.113.7\n192.0.2.1 51234 443\r\n',
    'PROXY \r\n',
  ])('is broken as %j', (line) => {
    expect(read(line)).toMatchObject({ kind: 'broken' });
  });
});

describe('a PROXY header of version 2', () => {
  it.each([
    ['IPv4', V4],
    ['IPv6', V6],
  ])('names its source: %s', (_family, ends) => {
    const header = binaryHeaderOf(ends);
    expect(readProxyHeader(Buffer.concat([header, REQUEST]))).toEqual({
      kind: 'header',
      length: header.length,
      source: { address: ends.from, port: 51_234 },
    });
  });

  it('may tell more behind its addresses, which is skipped whole', () => {
    const header = binaryHeaderOf(V4, new Uint8Array(700).fill(0x50));
    expect(readProxyHeader(Buffer.concat([header, REQUEST]))).toMatchObject({ kind: 'header', length: 16 + 12 + 700 });
    expect(readProxyHeader(header.subarray(0, 40))).toEqual({ kind: 'partial', atLeast: header.length });
  });

  it('of the balancer itself has no source, whatever stands in it', () => {
    expect(readProxyHeader(binaryHeader({}))).toEqual({ kind: 'header', length: 16 });
    const full = binaryHeader({ command: 0, family: 1, transport: 1, addresses: new Uint8Array(12).fill(9) });
    expect(readProxyHeader(full)).toEqual({ kind: 'header', length: 28 });
    expect(readProxyHeader(binaryHeader({ family: 2, transport: 1 }))).toEqual({ kind: 'header', length: 16 });
  });

  it.each([
    ['a unix socket', { family: 3, transport: 1, addresses: new Uint8Array(216).fill(0x2f) }],
    ['no family', { family: 0, transport: 0 }],
    ['a datagram', { family: 1, transport: 2, addresses: new Uint8Array(12).fill(9) }],
  ])('of %s has no source', (_what, parts) => {
    const header = binaryHeader({ command: 1, ...parts });
    expect(readProxyHeader(header)).toEqual({ kind: 'header', length: header.length });
  });

  it.each([
    ['another version', { version: 1 }],
    ['an unknown command', { command: 2 }],
    ['an unknown family', { command: 1, family: 4 }],
    ['an unknown transport', { command: 1, family: 1, transport: 3, addresses: new Uint8Array(12) }],
    ['less room than its addresses need', { command: 1, family: 1, transport: 1, addresses: new Uint8Array(11) }],
    ['less room than IPv6 needs', { command: 1, family: 2, transport: 1, addresses: new Uint8Array(35) }],
    ['more room than is believed', { command: 1, family: 1, transport: 1, announced: 16 * 1024 + 1 }],
  ])('is broken with %s, which shows before the rest has come', (_what, parts) => {
    expect(readProxyHeader(binaryHeader(parts).subarray(0, 16))).toMatchObject({ kind: 'broken' });
  });
});

describe('what is no PROXY header', () => {
  it.each(['GET / HTTP/1.1\r\n', 'P0', 'PROXX ', 'proxy ', '\r\n\r\nG', '\x16\x03\x01', '\r\n\r\n\0\r\nQUIX'])(
    'shows as soon as it can: %j',
    (start) => {
      expect(read(start)).toMatchObject({ kind: 'none' });
    },
  );
});

describe('any PROXY header', () => {
  const ends = fc
    .oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6()))
    .filter((pair) => pair.every((address) => ipaddr.isValid(address)))
    .chain(([from, to]) =>
      fc.record({
        from: fc.constant(from),
        to: fc.constant(to),
        fromPort: fc.nat(65_535),
        toPort: fc.nat(65_535),
      }),
    );
  const header = fc.oneof(
    ends.map((each) => ({ bytes: lineHeader(each), ends: each })),
    fc.tuple(ends, fc.uint8Array({ maxLength: 64 })).map(([each, more]) => ({
      bytes: binaryHeaderOf(each, more),
      ends: each,
    })),
  );

  it('is read the same, whatever comes behind it and wherever the bytes are cut', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 40 }), ({ bytes, ends: { from, fromPort } }, behind) => {
        const whole = readProxyHeader(Buffer.concat([bytes, behind]));
        if (whole.kind !== 'header') throw new Error(JSON.stringify(whole));
        expect(whole.length).toBe(bytes.length);
        expect(ipaddr.parse(whole.source?.address ?? '').toString()).toBe(ipaddr.parse(from).toString());
        expect(whole.source?.port).toBe(fromPort);
        for (let cut = 0; cut < bytes.length; cut += 1) {
          const part = readProxyHeader(bytes.subarray(0, cut));
          // More is asked for than there is, and no more than will come.
          if (part.kind !== 'partial') throw new Error(`cut at ${cut}: ${JSON.stringify(part)}`);
          expect(part.atLeast).toBeGreaterThan(cut);
          expect(part.atLeast).toBeLessThanOrEqual(bytes.length);
        }
      }),
    );
  });

  it('never claims bytes that are not there, and never waits without end, whatever a peer sends', () => {
    const starts = [
      '',
      'PROXY ',
      'PROXY TCP4 ',
      'PROXY UNKNOWN',
      '\r\n\r\n\0\r\nQUIT\n',
      '\r\n\r\n\0\r\nQUIT\n\x21\x11',
    ];
    const noise = fc
      .tuple(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 300 }))
      .map(([start, rest]) => Buffer.concat([Buffer.from(start, 'latin1'), rest]));
    fc.assert(
      fc.property(noise, (bytes) => {
        const reading: ProxyReading = readProxyHeader(bytes);
        if (reading.kind === 'header') expect(reading.length).toBeLessThanOrEqual(bytes.length);
        if (reading.kind === 'partial') {
          expect(reading.atLeast).toBeGreaterThan(bytes.length);
          expect(reading.atLeast).toBeLessThanOrEqual(16 + 16 * 1024);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

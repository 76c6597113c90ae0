import { describe, expect, it } from 'vitest';
import { describeCertificate } from '../../src/server/client-certificate.ts';

const PRINT = 'AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89';

describe('a client by its certificate', () => {
  it.each([
    ['its common name', 'C=CN\nO=Example\nCN=alice', 'DNS:other', 'alice'],
    [
      'its first other name, where it has no common one',
      'O=Example',
      'DNS:app-1.internal, DNS:app-2',
      'app-1.internal',
    ],
    ['an address of mail', undefined, 'email:alice@example.com', 'alice@example.com'],
    ['a URI', '', 'URI:spiffe://example.org/ns/a/sa/b', 'spiffe://example.org/ns/a/sa/b'],
    ['no name, where it has none', 'O=Example', undefined, 'unnamed'],
    ['a name without what a terminal would obey', 'CN=a\u001b[31m"\u202ee', undefined, 'a??31m??e'],
    ['a name of which there is not too much', `CN=${'ab '.repeat(200)}`, undefined, 'ab '.repeat(22).slice(0, 64)],
    ['a name that looks like a secret', `CN=${'x'.repeat(50)}`, undefined, '[redacted]'],
  ])('is %s, and the start of its digest', (_what, subject, alternatives, name) => {
    expect(describeCertificate(subject, alternatives, PRINT)).toBe(`${name} sha256:abcdef0123456789`);
  });
});

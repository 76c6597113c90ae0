import { describe, expect, it } from 'vitest';
import { type AuditEntry, auditLine } from '../../src/audit/line.ts';
import { createFingerprint } from '../../src/audit/fingerprint.ts';

const UUID = '0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae';
const ENTRY: AuditEntry = {
  id: 'an-id',
  client: '192.0.2.1',
  app: 'o1/a1',
  token: 'fingerprint',
  route: 'upload',
  direction: 'up',
  files: [UUID],
  name: undefined,
  bytes: 5,
  type: 'image/png',
  sha256: 'd'.repeat(64),
  scan: undefined,
  decision: 'allow',
  reason: undefined,
  wouldDeny: undefined,
  status: 200,
  done: true,
  from: undefined,
};

const read = (entry: Partial<AuditEntry>): Record<string, unknown> =>
  JSON.parse(auditLine({ ...ENTRY, ...entry }, 0)) as Record<string, unknown>;

describe('a line of the audit log', () => {
  it('says that it is one, and holds what is known', () => {
    expect(auditLine(ENTRY, 0)).toMatch(/^\{"log":"audit","time":"1970-01-01T00:00:00.000Z",.*\}\n$/);
    expect(read({})).toEqual({
      log: 'audit',
      time: '1970-01-01T00:00:00.000Z',
      id: 'an-id',
      client: '192.0.2.1',
      app: 'o1/a1',
      token: 'fingerprint',
      route: 'upload',
      direction: 'up',
      file: UUID,
      bytes: 5,
      type: 'image/png',
      sha256: 'd'.repeat(64),
      decision: 'allow',
      status: 200,
      done: true,
    });
  });

  it('holds no secret that somebody put into the place of a file or a name', () => {
    const secret = 'DRGM8OZrEeO1vavuJSo2IjHBKDlhDp0GCnQu54xOF3M6KLTr';
    const token = `YWMt${'a'.repeat(59)}`;
    const line = auditLine({ ...ENTRY, files: [secret], name: `Bearer ${token}.png`, app: `o/${token}` }, 0);
    expect(line).not.toContain(secret);
    expect(line).not.toContain(token);
  });

  it('is one short line that a terminal may print, whatever a client calls its file', () => {
    const line = auditLine(
      { ...ENTRY, name: `\u001b[31m\n\u202egnp.exe${'x '.repeat(5000)}`, files: Array(1000).fill(UUID) },
      0,
    );
    // oxlint-disable-next-line no-control-regex -- they are looked for
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u202e]/);
    expect(line.length).toBeLessThan(2048);
  });
});

describe('the fingerprint of a token', () => {
  it('is the same under the same key, and another under another', () => {
    const key = 'k'.repeat(32);
    expect(createFingerprint(key)('a-token')).toBe(createFingerprint(key)('a-token'));
    expect(createFingerprint(key)('a-token')).not.toBe(createFingerprint(key)('another'));
    expect(createFingerprint(key)('a-token')).not.toBe(createFingerprint('l'.repeat(32))('a-token'));
    expect(createFingerprint()('a-token')).not.toBe(createFingerprint()('a-token'));
    expect(createFingerprint(key)('a-token')).toMatch(/^[\w-]{22}$/);
  });
});

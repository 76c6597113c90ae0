import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAudit } from '../../src/audit/audit.ts';
import { auditSchema } from '../../src/audit/config.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { until } from '../kit/cached.ts';
import { createFakeClock } from '../kit/fake-clock.ts';

const ENTRY = {
  id: 'x'.repeat(1000),
  client: '192.0.2.1',
  app: 'o1/a1',
  token: undefined,
  route: 'upload',
  direction: 'up',
  files: [],
  name: undefined,
  bytes: 5,
  type: undefined,
  sha256: undefined,
  scan: undefined,
  decision: 'allow',
  reason: undefined,
  wouldDeny: undefined,
  status: 200,
  done: true,
  from: undefined,
} as const;

function open(to: string, clock: Clock = systemClock) {
  const notices: string[] = [];
  const lines: string[] = [];
  const audit = createAudit(auditSchema.parse({ to }), {
    digestKey: 'k'.repeat(32),
    streamOf: (name) => ({ write: (line: string) => void lines.push(`${name}: ${line}`) }),
    notice: (_level, message, details) => void notices.push(`${message} ${JSON.stringify(details ?? {})}`),
    clock,
  });
  if (audit) onTestFinished(() => audit[Symbol.asyncDispose]());
  return { audit, notices, lines };
}

describe('the audit log', () => {
  it('is none where it is off', () => {
    expect(open('off').audit).toBeUndefined();
  });

  it.each(['stdout', 'stderr'])('goes to %s where that is wished for', (to) => {
    const { audit, lines } = open(to);
    audit?.write(ENTRY);
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${to}: {"log":"audit",.*}\n$`))]);
    expect(audit?.trouble).toBeUndefined();
  });

  it('says that fingerprints do not last without a key', () => {
    const notices: string[] = [];
    const audit = createAudit(auditSchema.parse({ to: 'stdout' }), {
      digestKey: undefined,
      streamOf: () => ({ write() {} }),
      notice: (_level, message) => void notices.push(message),
      clock: systemClock,
    });
    expect(audit).toBeDefined();
    expect(notices).toEqual([expect.stringContaining('secrets.digestKey is not set')]);
  });

  it('counts lines that find no room, and tells of them once in a while and not each time', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'audit-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await mkdir(join(folder, 'audit.log'));
    const { audit, notices } = open(join(folder, 'audit.log'));
    await until(() => audit?.trouble !== undefined);
    for (let index = 0; index < 2000; index += 1) audit?.write(ENTRY);
    const { written = 0, lost = 0 } = audit?.stats() ?? {};
    expect(written).toBe(0);
    expect(lost).toBeGreaterThan(500);
    expect(lost).toBeLessThan(1500);
    expect(notices.filter((text) => text.startsWith('audit lines were lost'))).toHaveLength(1);
    expect(notices[0]).toContain('audit lines cannot be written to');
  });

  it('tells of each lost line in the end: after a minute, and of those that waited when it is closed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'audit-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'audit.log');
    await mkdir(path);
    const clock = createFakeClock();
    const { audit, notices } = open(path, clock);
    await until(() => audit?.trouble !== undefined);
    const write = () => Array.from({ length: 1500 }, () => audit?.write(ENTRY));
    const told = () =>
      notices.flatMap((text) => /^audit lines were lost {"lines":(\d+)/.exec(text)?.[1] ?? []).map(Number);
    const sum = () => told().reduce((all, lines) => all + lines, 0);
    write();
    expect(told()).toEqual([1]);
    await clock.advance(60_000);
    expect(told()).toHaveLength(2);
    expect(sum()).toBe(audit?.stats().lost);
    await clock.advance(60_000);
    write();
    expect(told()).toHaveLength(3);
    expect(audit?.stats().written).toBe(0);
    await audit?.[Symbol.asyncDispose]();
    expect(audit?.stats()).toEqual({ written: 0, lost: 3000 });
    expect(sum()).toBe(3000);
  });
});

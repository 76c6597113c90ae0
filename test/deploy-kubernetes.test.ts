import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config.ts';

type Manifest = {
  kind: string;
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  spec?: { template?: { spec: { terminationGracePeriodSeconds: number } } };
};

it('the example for Kubernetes holds a configuration that is accepted, and leaves it the time to drain', async () => {
  const text = await readFile(new URL('../deploy/kubernetes.example.yaml', import.meta.url), 'utf8');
  const manifests = parseAllDocuments(text).map((document) => {
    if (!('toJS' in document)) throw new Error('the file is empty');
    expect(document.errors).toEqual([]);
    return document.toJS() as Manifest;
  });
  const of = (kind: string) => manifests.find((manifest) => manifest.kind === kind);
  const folder = await mkdtemp(join(tmpdir(), 'chatfiles-kubernetes-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'gateway.yaml');
  await writeFile(file, of('ConfigMap')?.data?.['gateway.yaml'] ?? '');
  const { config, warnings } = await loadConfig({ file, env: of('Secret')?.stringData ?? {} });
  expect(warnings).toEqual([]);
  expect([config.admin.token, config.secrets.digestKey]).toEqual([expect.any(String), expect.any(String)]);
  const graceMs = (of('Deployment')?.spec?.template?.spec.terminationGracePeriodSeconds ?? 0) * 1000;
  expect(graceMs).toBeGreaterThan(config.drain.deadlineMs + 3000);
});

import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';

const file = fileURLToPath(new URL('../config/web-sdk.yaml', import.meta.url));

test('config/web-sdk.yaml lets tags and pages in, and changes nothing else', async () => {
  const { config, warnings } = await loadConfig({ file, env: {}, emulator: true });
  const { config: defaults } = await loadConfig({ env: {}, emulator: true });
  expect(config).toEqual({
    ...defaults,
    tokens: { ...defaults.tokens, anonymousDownloads: 'withSecret' },
    cors: { ...defaults.cors, origins: ['*'] },
  });
  expect(warnings).toEqual([]);
});

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { jsonSchemaOf } from '../../src/config/json-schema.ts';
import { asWritten, type Key, keysOf } from '../../src/config/keys.ts';
import { configSchema } from '../../src/config/schema.ts';

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const keys = keysOf(configSchema);

function row({ path, env, secret, reload, description, ...key }: Key): string {
  const written = asWritten(path, key.default);
  const usual = written === undefined ? '' : `\`${typeof written === 'string' ? written : JSON.stringify(written)}\``;
  const variables = [env, ...(secret ? [`${env}_FILE`] : [])].map((name) => `\`${name}\``).join(' ');
  const cells = [`\`${path}\``, usual, variables, reload ? 'no' : 'yes', description];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

// Where these two fail: npm run generate.
test('config/schema.json describes the keys as they are', async () => {
  await expect(`${JSON.stringify(jsonSchemaOf(keys), null, 2)}\n`).toMatchFileSnapshot(at('config/schema.json'));
});

test('docs/configuration.md lists the keys as they are', async () => {
  const page = readFileSync(at('docs/configuration.md'), 'utf8');
  const table = ['| key | default | variable | restart | |', '|---|---|---|---|---|', ...keys.map(row)].join('\n');
  const [before, after] = [page.split('<!-- keys -->')[0], page.split('<!-- /keys -->')[1]];
  const expected = `${before}<!-- keys -->\n${table}\n<!-- /keys -->${after}`;
  await expect(expected).toMatchFileSnapshot(at('docs/configuration.md'));
});

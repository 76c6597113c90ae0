import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

type Entry = { optionalDependencies?: Record<string, string>; resolved?: string };
const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
  packages: Record<string, Entry>;
};
const paths = Object.keys(lock.packages);

describe('the lockfile', () => {
  it('has an entry for every optional part of every package, or else npm ci refuses it', () => {
    const missing = Object.values(lock.packages)
      .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
      .filter((name) => !paths.some((path) => path.endsWith(`node_modules/${name}`)));
    expect(missing).toEqual([]);
  });

  it('was made for http-proxy-middleware 4: an older Node silently picks 3', () => {
    expect(lock.packages['node_modules/http-proxy-middleware']).toMatchObject({
      version: expect.stringMatching(/^4\./),
    });
  });

  it('names no address to download from', () => {
    expect(Object.values(lock.packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  });
});

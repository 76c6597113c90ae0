import { describe, expect, it } from 'vitest';
import { readRedisUrl } from '../../src/redis/url.ts';

const node = (host: string, port = 6379) => ({ host, port });
const standalone = { form: 'standalone', master: undefined, options: {} };
const sentinel = { form: 'sentinel', master: 'main', options: {} };

describe('a Redis URL', () => {
  it.each([
    ['redis://localhost', { ...standalone, nodes: [node('localhost')] }],
    ['redis://10.0.0.1:7000', { ...standalone, nodes: [node('10.0.0.1', 7000)] }],
    ['redis://[::1]:7000', { ...standalone, nodes: [node('::1', 7000)] }],
    ['redis://host/', { ...standalone, nodes: [node('host')] }],
    ['redis://host/3', { ...standalone, nodes: [node('host')], options: { db: 3 } }],
    ['redis://:secret@host', { ...standalone, nodes: [node('host')], options: { password: 'secret' } }],
    [
      'redis://me:se:cret@host',
      { ...standalone, nodes: [node('host')], options: { username: 'me', password: 'se:cret' } },
    ],
    [
      'redis://me:p%40%2F%3A@host',
      { ...standalone, nodes: [node('host')], options: { username: 'me', password: 'p@/:' } },
    ],
    ['rediss://host:1', { ...standalone, nodes: [node('host', 1)], options: { tls: {} } }],
    ['redis+sentinel://a,b:1/main', { ...sentinel, nodes: [node('a', 26_379), node('b', 1)] }],
    ['redis+sentinel://:pw@a/main/2', { ...sentinel, nodes: [node('a', 26_379)], options: { password: 'pw', db: 2 } }],
    ['rediss+sentinel://a/main', { ...sentinel, nodes: [node('a', 26_379)], options: { tls: {} } }],
    [
      'redis+cluster://a:1,b:2,c',
      { form: 'cluster', master: undefined, options: {}, nodes: [node('a', 1), node('b', 2), node('c')] },
    ],
  ])('%s is read', (url, parts) => {
    expect(readRedisUrl(url)).toEqual(parts);
  });

  it.each([
    ['', /must begin with redis:\/\//],
    ['host:6379', /must begin with redis:\/\//],
    ['http://host', /must begin with redis:\/\//],
    ['redis:host', /must begin with redis:\/\//],
    ['redis+other://a', /must begin with redis:\/\//],
    [' redis://host', /must begin with redis:\/\//],
    ['redis://', /must name a host/],
    ['redis://:6379', /must name a host/],
    ['redis+cluster://a,,b', /must name a host, and one after each comma/],
    ['redis://2001:db8::1', /must name a host: .*square brackets/],
    ['redis://a,b', /must name one host; with several/],
    ['redis://host:port', /number from 1 to 65535/],
    ['redis://host:', /number from 1 to 65535/],
    ['redis://host:0', /number from 1 to 65535/],
    ['redis://host:70000', /number from 1 to 65535/],
    ['redis://host/db', /number of a database/],
    ['redis://host/1/2', /number of a database/],
    ['redis://host/12345', /number of a database/],
    ['redis://host?tls=1', /no \? and no #; .*%3F/],
    ['redis://host#x', /no \? and no #/],
    ['redis://me:100%@host', /% that encodes nothing/],
    ['redis://me:p/w@host', /@ or a \/ too many; .*%2F/],
    ['redis://me:p@w@host', /@ or a \/ too many; .*%40/],
    ['redis+sentinel://a', /must name the Sentinels' master/],
    ['redis+sentinel://a/', /must name the Sentinels' master/],
    ['redis+sentinel://a/main/x', /number of a database/],
    ['redis+cluster://a,b/1', /a Cluster has one database/],
  ])('%j is none, and which part of it is wrong is told', (url, problem) => {
    expect(readRedisUrl(url)).toEqual({ problem: expect.stringMatching(problem) });
  });

  it.each([
    'geheim://h',
    'redis://:ge/heim@h',
    'redis://h:geheim',
    'redis://h/geheim',
    'redis://h?geheim',
    'redis://%geheim@h',
  ])('nothing of %s is repeated', (url) => {
    expect(JSON.stringify(readRedisUrl(url))).not.toMatch(/ge.?heim/);
  });
});

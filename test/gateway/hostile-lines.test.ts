import { describe, expect, it } from 'vitest';
import { DOWNLOADED, FILE, get, head, HONEST, type HostileCase, playHostile, UPLOAD } from '../kit/hostile.ts';
const UNREADABLE = { status: 400 };

const LINES: HostileCase[] = [
  { name: 'a folded field', bytes: get({}, 'X-Folded: a', ' canary'), ...UNREADABLE },
  { name: 'a folded token', bytes: get({ fields: ['Host: h', 'Authorization: Bearer', '\t<token>'] }), ...UNREADABLE },
  {
    name: 'a fold before the first field',
    bytes: head(`GET ${FILE} HTTP/1.1`, ' X: canary', ...HONEST),
    ...UNREADABLE,
  },
  { name: 'bare LFs', bytes: get().replaceAll('\r\n', '\n'), ...UNREADABLE },
  { name: 'one bare LF', bytes: get({}, 'X: a\nX-Other: canary'), ...UNREADABLE },
  { name: 'a bare CR', bytes: get({}, 'X: a\rX-Other: canary'), ...UNREADABLE },
  { name: 'CR CR LF', bytes: get({}, 'X: a\r'), ...UNREADABLE },
  { name: 'a bare LF before the empty line', bytes: `${get().slice(0, -4)}\n\n`, ...UNREADABLE },
  { name: 'a NUL in a value', bytes: get({}, 'X: a\0canary'), ...UNREADABLE },
  { name: 'a control character in a value', bytes: get({}, 'X: a\x1bcanary'), ...UNREADABLE },
  { name: 'a NUL in a name', bytes: get({}, 'X\0: canary'), ...UNREADABLE },
  { name: 'a space in a name', bytes: get({}, 'X Canary: 1'), ...UNREADABLE },
  { name: 'a name of nothing', bytes: get({}, ': canary'), ...UNREADABLE },
  { name: 'a line without a colon', bytes: get({}, 'canary'), ...UNREADABLE },
  { name: 'a name beyond ASCII', bytes: get({}, 'X-\xe9: canary'), ...UNREADABLE },
  { name: 'a value beyond ASCII', bytes: get({}, 'X: \xe9\xff'), status: 200, reaches: [DOWNLOADED] },
  { name: 'an empty value', bytes: get({}, 'X:'), status: 200, reaches: [DOWNLOADED] },
  {
    name: 'an encoded line break in a value',
    bytes: get({}, 'X: a%0d%0aX-Canary: 1'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  {
    name: 'a name that is a word of JavaScript',
    bytes: get({}, '__proto__: canary', 'constructor: canary'),
    status: 200,
    reaches: [DOWNLOADED],
  },
  { name: 'half a head', bytes: get().slice(0, -2), status: 408 },
  {
    name: 'half a head in an upload',
    bytes: head('POST / HTTP/1.1', ...UPLOAD).slice(0, 40),
    status: 408,
  },
];

describe('a head with', () => {
  it.each(LINES)('$name', (hostile) => expect(playHostile(hostile)).resolves.toEqual([hostile.status].flat()));
});

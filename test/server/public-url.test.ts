import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withOrigin } from '../../src/server/public-url.ts';

const US = 'https://files.example.com';
const moved = (text: string) => withOrigin(Buffer.from(text), US).toString();

describe('the origin in an answer', () => {
  it('is replaced, and nothing else is touched', () => {
    const text = `{ "a": 1.000000000000000001, "uri" : "https://a1.easemob.com:443/o/a/chatfiles", "big": 12345678901234567890,\n"\\u00e9": "\\/" }`;
    expect(moved(text)).toBe(text.replace('https://a1.easemob.com:443', US));
  });

  it.each([
    ['with escaped slashes', '{"uri":"http:\\/\\/x.example\\/o\\/a\\/chatfiles"}', `{"uri":"${US}/o/a/chatfiles"}`],
    ['twice', '{"uri":"http://x/1","uri":"http://y/2"}', `{"uri":"${US}/1","uri":"${US}/2"}`],
    ['without a path', '{"uri":"http://x"}', `{"uri":"${US}"}`],
    ['in a list', '[{"uri":"http://x/1"}]', `[{"uri":"${US}/1"}]`],
    ['behind a BOM', '\ufeff{"uri":"http://x/1"}', `\ufeff{"uri":"${US}/1"}`],
    ['without a scheme', '{"uri":"//x/1"}', `{"uri":"${US}/1"}`],
    ['behind a space', '{"uri":" https://x/1"}', `{"uri":"${US}/1"}`],
    ['with slashes that lean back', '{"uri":"https:\\\\\\\\x\\\\1"}', `{"uri":"${US}\\\\1"}`],
    ['in capitals', '{"uri":"HTTPS://X/1"}', `{"uri":"${US}/1"}`],
    ['with an escaped name', '{"\\u0075ri":"http://x/1"}', `{"\\u0075ri":"${US}/1"}`],
  ])('is replaced %s', (_case, text, wanted) => {
    expect(moved(text)).toBe(wanted);
  });

  it.each([
    ['deeper down', '{"entities":[{"uri":"http://x/1"}]}'],
    ['that is none', '{"uri":"/o/a/chatfiles"}'],
    ['that is no text', '{"uri":5}'],
    ['in what is no object', '["uri","http://x"]'],
    ['in what is no JSON', 'uri: http://x'],
    ['in nothing', ''],
  ])('stays %s', (_case, text) => {
    expect(moved(text)).toBe(text);
  });

  it('is replaced where other bytes are no UTF-8, which stay what they are', () => {
    const text = '{"uri":"http://x/1","b":"\xff\xfe\xe9"}';
    expect(withOrigin(Buffer.from(text, 'latin1'), US).toString('latin1')).toBe(text.replace('http://x', US));
  });

  it('changes nothing but that one value, whatever the rest is', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.webPath(), (rest, path) => {
        const { uri: _uri, ...others } = rest;
        const before = { ...others, uri: `https://a1.easemob.com${path}` };
        expect(moved(JSON.stringify(before))).toBe(JSON.stringify({ ...before, uri: `${US}${path}` }));
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { newSpanId, readTrace, writeTraceparent } from '../../src/tracing/context.ts';

const ID = '6b29fc40-ca47-4067-b31d-00dd010662da';
const FRESH = { traceId: ID.replaceAll('-', ''), parentId: undefined, isSampled: false, state: undefined };
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const VALID = `00-${TRACE}-${SPAN}-01`;

describe('the trace that a request comes with', () => {
  it.each([
    ['is gone on with', VALID, true],
    ['is gone on with though it is not sampled', `00-${TRACE}-${SPAN}-00`, false],
    ['keeps of its flags the one that there is', `00-${TRACE}-${SPAN}-ff`, true],
    ['may be of a later version', `cc-${TRACE}-${SPAN}-01`, true],
    ['may be of a later version that says more', `01-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
  ])('%s', (_, traceparent, isSampled) => {
    expect(readTrace({ traceparent }, ID)).toEqual({ traceId: TRACE, parentId: SPAN, isSampled, state: undefined });
  });

  it.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['came twice, as Node joins fields', `${VALID}, ${VALID}`],
    ['came twice, as a list', [VALID, VALID]],
    ['has the version that is none', `ff-${TRACE}-${SPAN}-01`],
    ['has capitals', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['has no digits in its id', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['has no digits in its span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['is too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['says more than its version has', `${VALID}-more`],
    ['says more without a dash', `01-${TRACE}-${SPAN}-01more`],
    ['has a space before it', ` ${VALID}`],
    ['has a line behind it', `${VALID}\n`],
    ['has flags of one digit', `00-${TRACE}-${SPAN}-1`],
    ['goes on and on', `01-${TRACE}-${SPAN}-01-${'x'.repeat(1000)}`],
  ])('is replaced by a new one, by the name of the request, when it %s', (_, traceparent) => {
    expect(readTrace({ traceparent, tracestate: 'a=1' }, ID)).toEqual(FRESH);
  });
});

describe('what others have noted of a trace', () => {
  const stateOf = (tracestate: string | string[]) => readTrace({ traceparent: VALID, tracestate }, ID).state;

  it.each([
    ['one', 'congo=t61rcWkgMzE', 'congo=t61rcWkgMzE'],
    ['several, in their order', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
    ['with spaces between, which go', 'a=1 , \tb@system=2', 'a=1,b@system=2'],
    ['with nothing between', 'a=1,,b=2,', 'a=1,b=2'],
    ['with all that a value may have', 'a=!"#$%&\'()*+-./:;<>?@[]^_`{|}~ x', 'a=!"#$%&\'()*+-./:;<>?@[]^_`{|}~ x'],
    ['32 of them', Array.from({ length: 32 }, (_, i) => `k${i}=1`).join(','), expect.stringMatching(/k31=1$/)],
  ])('goes on: %s', (_, came, goes) => {
    expect(stateOf(came)).toEqual(goes);
  });

  it.each([
    ['nothing', ''],
    ['no value', 'a='],
    ['no key', '=1'],
    ['a key with a capital', 'A=1'],
    ['a key that begins with a digit', '1a=1'],
    ['two @ in a key', 'a@b@c=1'],
    ['an = in a value', 'a=1=2'],
    ['a control character', 'a=1\u0001'],
    ['a letter beyond ASCII', 'a=é'],
    ['a key twice', 'a=1,b=2,a=3'],
    ['33 of them', Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(',')],
    ['more than 512 characters', `a=${'x'.repeat(200)},b=${'x'.repeat(200)},c=${'x'.repeat(200)}`],
    ['a value of more than 256', `a=${'x'.repeat(257)}`],
    ['a list of Node', ['a=1', 'b=2']],
  ])('goes as a whole where there is %s in it', (_, came) => {
    expect(stateOf(came)).toBeUndefined();
  });
});

describe('a span', () => {
  it('has a name of its own, of sixteen digits', () => {
    const names = Array.from({ length: 2000 }, newSpanId);
    expect(new Set(names).size).toBe(2000);
    expect(names.filter((name) => !/^[0-9a-f]{16}$/.test(name))).toEqual([]);
  });

  it('is told to whoever is asked next in a form that is read the same again', () => {
    const traceparent = writeTraceparent(TRACE, SPAN, true);
    expect(readTrace({ traceparent }, ID)).toMatchObject({ traceId: TRACE, parentId: SPAN, isSampled: true });
  });
});

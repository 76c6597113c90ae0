/** A header value taken apart: what comes before the first semicolon, and the parameters in the order given. */
export type Parameterized = { value: string; parameters: Parameter[] };

/** One parameter: its name in lower case, and its value without quotes and escapes. */
export type Parameter = { name: string; value: string; quoted: boolean };

/** Takes apart a value such as `form-data; name="file"`; undefined when its quoting can be read in more than one way. */
export function readParameters(text: string): Parameterized | undefined {
  return read(text, STRICT);
}

/** Takes it apart as those parsers do that know no backslash escapes and skip whatever follows a closing quote. */
export function readParametersWithoutEscapes(text: string): Parameterized | undefined {
  return read(text, WITHOUT_ESCAPES);
}

// Each pattern starts where the one before it ended, and none can match the same text in two ways, so reading a value
// takes time in proportion to its length whatever it holds.
const NAME = /;[ \t]*([!#-:<>-[\]-~]+)[ \t]*=[ \t]*/y;

type Grammar = { quoted: RegExp; token: RegExp; skipped: RegExp; unescape(value: string): string };

const STRICT: Grammar = {
  quoted: /"((?:[^"\\]|\\.)*)"[ \t]*(?=;|$)/sy,
  token: /([^;"\\ \t]*(?:[ \t]+[^;"\\ \t]+)*)[ \t]*(?=;|$)/y,
  // A piece that is no `name=value`, such as the nothing in `;;`, is skipped unless a quote might hide what follows.
  skipped: /;[^;="\\]*(?=;|$)/y,
  unescape: (value) => value.replaceAll(/\\(.)/gs, '$1'),
};

const WITHOUT_ESCAPES: Grammar = {
  quoted: /"([^"]*)"?[^;]*/y,
  token: /([^;]*)/y,
  skipped: /;[^;]*/y,
  unescape: (value) => value,
};

function read(text: string, grammar: Grammar): Parameterized | undefined {
  const value = /^[^;"]*/.exec(text)?.[0] ?? '';
  const parameters: Parameter[] = [];
  let at = value.length;
  const next = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    at = pattern.lastIndex;
    return match[1] ?? '';
  };
  while (at < text.length) {
    const name = next(NAME);
    if (name === undefined) {
      if (next(grammar.skipped) === undefined) return undefined;
      continue;
    }
    const quoted = text[at] === '"';
    const given = next(quoted ? grammar.quoted : grammar.token);
    if (given === undefined) return undefined;
    parameters.push({ name: name.toLowerCase(), value: quoted ? grammar.unescape(given) : given, quoted });
  }
  return { value, parameters };
}

/** An item of a structured field: a text in quotes, a token or a number, with its parameters. */
export type Item = { value: Bare; kind: Kind; parameters: Record<string, Bare> };

type Bare = string | number;
type Kind = 'string' | 'token' | 'integer' | 'decimal';

/** Reads a List of Items (RFC 9651 section 4.2.1), as far as our own fields use it; throws where it is none. */
export function readList(field: string): Item[] {
  let rest = field;
  const take = (pattern: RegExp): string => {
    const found = pattern.exec(rest)?.[0];
    if (found === undefined) throw new SyntaxError(`not a structured field at "${rest}" of "${field}"`);
    rest = rest.slice(found.length);
    return found;
  };
  const bare = (): { value: Bare; kind: Kind } => {
    if (rest.startsWith('"')) {
      return { value: take(/^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/).slice(1, -1), kind: 'string' };
    }
    if (/^[-\d]/.test(rest)) {
      const text = take(/^-?(?:\d{1,12}\.\d{1,3}(?![\d.])|\d{1,15}(?![\d.]))/);
      return { value: Number(text), kind: text.includes('.') ? 'decimal' : 'integer' };
    }
    return { value: take(/^[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*/), kind: 'token' };
  };
  const items: Item[] = [];
  for (;;) {
    const item: Item = { ...bare(), parameters: {} };
    while (rest.startsWith(';')) {
      take(/^; */);
      const name = take(/^[a-z*][a-z0-9_.*-]*/);
      take(/^=/);
      item.parameters[name] = bare().value;
    }
    items.push(item);
    if (rest === '') return items;
    take(/^[ \t]*,[ \t]*(?=.)/);
  }
}

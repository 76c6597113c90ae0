import { ask } from './ask.ts';

/** One line of a scrape. */
export type Sample = { name: string; labels: Record<string, string>; value: number };

/** A metric as a scraper sees it: its help, its type, and its samples. */
export type Family = { name: string; help: string; type: string; samples: Sample[] };

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(String.raw`^(${NAME})(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?\d+)?|[+-]Inf|NaN|Nan)$`);
const LABEL = new RegExp(String.raw`(${NAME})="((?:[^"\\]|\\["\\n])*)"(?:,|$)`, 'y');

/** Asks for the metrics of a gateway, and reads them by the letter of the text format. */
export async function scrape(adminUrl: string): Promise<Scraped> {
  const reply = await ask(`${adminUrl}/metrics`);
  if (reply.status !== 200) throw new Error(`/metrics: ${reply.status}`);
  if (reply.headers['content-type'] !== 'text/plain; version=0.0.4; charset=utf-8') throw new Error('no text format');
  return readScrape(reply.body.toString());
}

/** What was scraped. */
export type Scraped = {
  text: string;
  families: Map<string, Family>;
  /** The sum of a metric's samples that have these labels; undefined when there is none. */
  value: (name: string, labels?: Record<string, string>) => number | undefined;
};

/** Reads the text format strictly: each family has its HELP, then its TYPE, then its samples, and comes once. */
export function readScrape(text: string): Scraped {
  const families = new Map<string, Family>();
  let family: Family | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const help = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line);
    const type = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line);
    if (help) {
      const [, name = '', words = ''] = help;
      if (families.has(name)) throw new Error(`${name} comes twice`);
      family = { name, help: words, type: '', samples: [] };
      families.set(name, family);
    } else if (type) {
      if (family?.name !== type[1] || family?.type !== '') throw new Error(`out of place: ${line}`);
      family.type = type[2] ?? '';
    } else family?.samples.push(readSample(line, family));
  }
  const samples = [...families.values()].flatMap((each) => each.samples);
  const names = samples.map(
    ({ name, labels }) => `${name} ${JSON.stringify(Object.entries(labels).map(String).toSorted())}`,
  );
  if (new Set(names).size !== names.length) throw new Error('a series comes twice');
  return {
    text,
    families,
    value(name, labels = {}) {
      const found = samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      );
      return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
    },
  };
}

function readSample(line: string, { name: family, type }: Family): Sample {
  const [, name = '', inside = '', value = ''] = SAMPLE.exec(line) ?? [];
  const suffix = name.slice(family.length);
  const isOfFamily = name.startsWith(family) && (type === 'histogram' ? /^_(bucket|sum|count)$/ : /^$/).test(suffix);
  if (!isOfFamily) throw new Error(`not of ${family} (${type}): ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inside.length) {
    const match = LABEL.exec(inside);
    if (!match) throw new Error(`labels that cannot be read: ${line}`);
    labels[match[1] ?? ''] = match[2] ?? '';
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity').replace('Nan', 'NaN')) };
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** A counter's value for one set of labels. */
export type Count = (by?: number) => void;

/** A histogram's or gauge's value for one set of labels. */
export type Observe = (value: number) => void;

type Labels<Name extends string> = Readonly<Record<Name, string>>;

/**
 * Makes series in a registry. What it gives for a set of labels can be kept and called again and again: the labels are
 * looked at once, and not for every request.
 */
export class Series {
  readonly #registers: [Registry];

  constructor(registry: Registry) {
    this.#registers = [registry];
  }

  /** A counter; each set of labels in `from0` is there with 0 from the start. */
  counter<Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[] = [],
    from0: readonly Labels<Name>[] = [],
  ): (labels: Labels<Name>) => Count {
    const counter = new Counter({ name, help, labelNames, registers: this.#registers });
    for (const labels of from0) counter.inc(labels, 0);
    return (labels) => {
      const child = counter.labels(labels);
      return (by = 1) => child.inc(by);
    };
  }

  /** A histogram over these upper bounds. */
  histogram<Name extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Name[] = [],
    from0: readonly Labels<Name>[] = [],
  ): (labels: Labels<Name>) => Observe {
    const histogram = new Histogram({ name, help, labelNames, buckets: [...buckets], registers: this.#registers });
    for (const labels of from0) histogram.zero(labels);
    return (labels) => {
      const child = histogram.labels(labels);
      // prom-client throws at what is no number, and a metric must never end a request.
      return (value) => child.observe(Number.isFinite(value) ? Math.max(0, value) : 0);
    };
  }

  /** A gauge that is set when something happens. */
  gauge(name: string, help: string): Observe {
    const gauge = new Gauge({ name, help, registers: this.#registers });
    return (value) => gauge.set(value);
  }

  /** A gauge that is asked for when somebody looks. */
  readGauge<Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[],
    read: () => Iterable<readonly [Labels<Name>, number]>,
  ): void {
    const gauge: Gauge<Name> = new Gauge({
      name,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        gauge.reset();
        for (const [labels, value] of read()) gauge.set(labels, value);
      },
    });
  }

  /** A counter that somebody else keeps, asked for when somebody looks. */
  readCounter<Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[],
    read: () => Iterable<readonly [Labels<Name>, number]>,
  ): void {
    const counter: Counter<Name> = new Counter({
      name,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        counter.reset();
        for (const [labels, value] of read()) counter.inc(labels, value);
      },
    });
  }
}

/** One set of labels for each value of one label. */
export const each = <Name extends string>(name: Name, values: readonly string[]): Labels<Name>[] =>
  values.map((value) => ({ [name]: value }) as Labels<Name>);

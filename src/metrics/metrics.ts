/**
 * What a scraper sees. Requests are counted from their one summary, the way out tells of its attempts, and what the rooms
 * keep count of themselves is read when somebody looks.
 *
 * Every label is a word of a closed set (`labels.ts`): no user, token, file, path or address can make a series.
 */
import { Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { type Answers, countActive } from './active.ts';
import { countAttempts, type OutboundWatch } from './attempts.ts';
import type { MetricsConfig } from './config.ts';
import { processRegistry } from './process.ts';
import { readSources, type Sources } from './readings.ts';
import { countRedis, type RedisMetrics } from './redis.ts';
import { type Counted, countRequests } from './requests.ts';
import { each, Series } from './series.ts';

/** The metrics of one gateway. */
export type Metrics = {
  /** Counts a request at its end. */
  record(counted: Counted): void;
  /** Counts requests while they are being answered. */
  active(answers: Answers): Answers;
  outbound: OutboundWatch;
  redis: RedisMetrics;
  /** Counts a reload of the configuration, whether it was taken or refused. */
  reloaded: (isTaken: boolean) => void;
  /** Says where the numbers that are read come from; before that, they are not there. */
  read(sources: Sources): void;
  /** Everything, in the text format of Prometheus. */
  scrape: () => Promise<{ contentType: string; text: string }>;
};

/** Opens the metrics of a gateway; two in one process do not see each other's, but share those of the process. */
export function createMetrics(
  { apps, version }: MetricsConfig & { version: string },
  { now }: Pick<Clock, 'now'>,
): Metrics {
  const registry = new Registry();
  const series = new Series(registry);
  series.readGauge('chatfiles_build_info', 'Always 1; what runs here.', ['version', 'node_version'], () => [
    [{ version, node_version: process.version }, 1],
  ]);
  const reloads = series.counter(
    'chatfiles_config_reloads_total',
    'Reloads of the configuration: taken, or refused because of a mistake in it.',
    ['result'],
    each('result', ['success', 'failure']),
  );
  const reloadedAt = series.gauge(
    'chatfiles_config_last_reload_success_timestamp_seconds',
    'When the configuration that is in force was taken; the start counts.',
  );
  reloadedAt(now() / 1000);
  const common = processRegistry();
  return {
    record: countRequests(series, { apps }),
    active: countActive(series),
    outbound: countAttempts(series),
    redis: countRedis(series),
    reloaded(isTaken) {
      reloads({ result: isTaken ? 'success' : 'failure' })();
      if (isTaken) reloadedAt(now() / 1000);
    },
    read: (sources) => readSources(series, sources),
    async scrape() {
      const texts = await Promise.all([registry.metrics(), common.metrics()]);
      return { contentType: registry.contentType, text: texts.join('\n') };
    },
  };
}

/** What is counted of Redis: whether each connection stands, and how fast it answers. */
import { each, type Series } from './series.ts';

/** Where connections to Redis tell of themselves. */
export type RedisMetrics = {
  /** A connection was opened; the returned function takes each command's time in ms. */
  opened(use: string, isUp: () => boolean): (tookMs: number) => void;
};

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** Makes the series about Redis; of uses that have no connection there are none. */
export function countRedis(series: Series): RedisMetrics {
  const connections = new Map<string, () => boolean>();
  series.readGauge(
    'chatfiles_redis_up',
    '1 while a connection to Redis stands; none where no Redis is configured.',
    ['use'],
    () => [...connections].map(([use, isUp]) => [{ use }, isUp() ? 1 : 0] as const),
  );
  const duration = series.histogram(
    'chatfiles_redis_command_duration_seconds',
    'Time of a command at Redis, failed ones too.',
    BUCKETS,
    ['use'],
  );
  return {
    opened(use, isUp) {
      connections.set(use, isUp);
      const observe = duration(each('use', [use])[0] ?? { use });
      return (tookMs) => observe(tookMs / 1000);
    },
  };
}

/**
 * Fills a folder with entries through the cache's own door, as a gateway would have kept them, and ends.
 *   node bench/thumbnails/fill.ts DIR ENTRIES
 */
import { createCache } from '../../src/cache/cache.ts';
import { cacheSchema } from '../../src/cache/config.ts';
import { systemClock } from '../../src/clock.ts';
import { makeEntry } from '../../src/server/keep.ts';
import { APP, bodyOf, etagOf, fileOf } from './hot-set.ts';

/** What is put before the disk is waited for: its queue is bounded, and drops what is too much. */
const BATCH = 1000;

const [dir = '', entries = '0'] = process.argv.slice(2);
const config = cacheSchema.parse({ memoryBytes: 0, disk: { dir, minFreeBytes: 0 } });
await using cache = createCache(config, { clock: systemClock, notice: (_level, message) => console.error(message) });
await cache.idle();
for (let index = 0; index < Number(entries); index += 1) {
  const entry = makeEntry(
    'thumbnail',
    { 'content-type': 'image/jpeg', etag: etagOf(index) },
    bodyOf(index),
    Date.now(),
  );
  if (entry) cache.put({ app: APP, file: fileOf(index), variant: 'thumbnail' }, entry);
  if (index % BATCH === 0) await cache.idle();
}
await cache.idle();
const { disk } = cache.stats();
if (disk?.entries !== Number(entries)) throw new Error(`${disk?.entries} entries are on the disk, not ${entries}`);

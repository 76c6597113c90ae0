import { atMost } from './goals.ts';
import { BODY_BYTES } from './hot-set.ts';
import { figure, type Section, section, table } from './report.ts';
import type { Restart } from './restart.ts';

const HEAD = [
  'folder',
  'entries',
  'on disk MB',
  'ready ms',
  'first from the disk ms',
  'all indexed ms',
  'RSS when ready MB',
  'RSS indexed MB',
  'p50 ms',
  'p99 ms',
  'asked for bytes',
  'for vouching',
];

/** The table of restarts. */
export function restartSection(restarts: readonly Restart[]): Section {
  const rows = restarts.map((it) => [
    it.folder,
    figure(it.entries),
    figure(it.diskMb),
    figure(it.readyMs),
    figure(it.firstMs),
    figure(it.indexedMs),
    figure(it.rssReadyMb),
    figure(it.rssMb),
    figure(it.p50, 1),
    figure(it.p99, 1),
    figure(it.asked.bytes),
    figure(it.asked.vouching),
  ]);
  const [empty, warm, cold] = restarts;
  const longer = (it: Restart | undefined) => ((it?.indexedMs ?? Number.NaN) - (empty?.indexedMs ?? Number.NaN)) / 1000;
  const each = (((warm?.rssMb ?? 0) - (empty?.rssMb ?? 0)) * 1024 ** 2) / (warm?.entries ?? 1);
  const body = `A gateway is started on a folder with ${warm?.entries ?? 0} thumbnails of ${BODY_BYTES} bytes, which another process has left; times are since
the process was begun. While it makes its index, it is asked for one file after the other.

- *ready*: when the second port says so. *first from the disk*: the first right answer with bytes from the folder; what is
  not indexed yet was fetched. *all indexed*: when the second port's counters say so.
- Who may see a file is not on the disk. So each file is asked about once more after a restart, without its bytes: the
  last four columns are of 300 files all over the folder, one after the other on connections of their own.
- *in the page cache*: the kernel holds all of it, as after a restart of the process. *only on the disk*: it holds nothing
  of it, as after a restart of the machine; what the virtual disk's host holds is not known.
- RSS grows by about ${figure(each)} bytes an entry, the work of making the index included.

${table(HEAD, rows)}`;
  return section('Restart', body, [
    atMost('s longer than with an empty folder until all is indexed, in the page cache', longer(warm), 1, 2),
    atMost('s longer than with an empty folder until all is indexed, only on the disk', longer(cold), 2, 2),
    atMost('requests for bytes of what is on the disk', (warm?.asked.bytes ?? 0) + (cold?.asked.bytes ?? 0), 0),
  ]);
}

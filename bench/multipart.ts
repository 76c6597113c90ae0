/**
 * What watching a multipart body costs, in CPU seconds per GB: only counting its bytes, our watch, and busboy, on the
 * same bytes in the same pieces, in turns within one run. Prints a table and writes it to bench/results/multipart.md.
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { finished } from 'node:stream/promises';
import { Busboy } from '@fastify/busboy';
import { watchMultipart } from '../src/policy/multipart.ts';

const BOUNDARY = '----WebKitFormBoundary7MA4YWxkTrZu0gW';
const CONTENT_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
const FILE_BYTES = 10 * 1024 ** 2;
const PIECE_BYTES = 64 * 1024;
const GB = 1e9;
const ROUNDS = 9;
const MS_PER_TURN = 110;

type Contender = (pieces: Buffer[]) => Promise<void> | void;

const counting: Contender = (pieces) => {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  if (bytes < FILE_BYTES) throw new Error('counted wrong');
};

const watching: Contender = (pieces) => {
  const watch = watchMultipart(CONTENT_TYPE, { fileBytes: FILE_BYTES, maxParts: 16, maxPartHeadBytes: 8192 });
  if ('allowed' in watch) throw new Error(watch.reason);
  for (const piece of pieces) watch.push(piece);
  if (!watch.end().allowed || watch.fileBytes !== FILE_BYTES) throw new Error('watched wrong');
};

const busboy: Contender = async (pieces) => {
  const parser = new Busboy({ headers: { 'content-type': CONTENT_TYPE } });
  let bytes = 0;
  parser.on('file', (_name, file) => {
    file.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
  });
  const done = finished(parser);
  for (const piece of pieces) {
    if (!parser.write(piece)) await new Promise((resolve) => parser.once('drain', resolve));
  }
  parser.end();
  await done;
  if (bytes !== FILE_BYTES) throw new Error('parsed wrong');
};

const contenders = { 'only counting': counting, 'our watch': watching, '@fastify/busboy': busboy };

const contents: Record<string, Buffer> = {
  'a picture (random bytes)': randomFillSync(Buffer.alloc(FILE_BYTES)),
  'text in lines of 80': Buffer.alloc(FILE_BYTES, `${'The quick brown fox -- '.repeat(4).slice(0, 78)}\r\n`),
  'hostile: line breaks and dashes': Buffer.alloc(FILE_BYTES, '\r\n--'),
  'hostile: boundaries inside lines': Buffer.alloc(FILE_BYTES, `x--${BOUNDARY}`),
  'hostile: boundaries but for one byte': Buffer.alloc(FILE_BYTES, `\r\n--!${BOUNDARY.slice(1)}`),
};

function piecesOf(file: Buffer): Buffer[] {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: image/png\r\n\r\n`;
  const body = Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += PIECE_BYTES) pieces.push(Buffer.from(body.subarray(at, at + PIECE_BYTES)));
  return pieces;
}

/** CPU seconds per GB, over as many bodies as fit into the time of one turn. */
async function measure(contender: Contender, pieces: Buffer[]): Promise<number> {
  const started = performance.now();
  const cpu = process.cpuUsage();
  let bodies = 0;
  do {
    await contender(pieces);
    bodies += 1;
  } while (performance.now() - started < MS_PER_TURN);
  const { user, system } = process.cpuUsage(cpu);
  return (user + system) / 1e6 / ((bodies * FILE_BYTES) / GB);
}

const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const rows: string[] = [];
for (const [content, file] of Object.entries(contents)) {
  const pieces = piecesOf(file);
  const results = new Map<string, number[]>(Object.keys(contenders).map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [name, contender] of Object.entries(contenders)) {
      const result = await measure(contender, pieces);
      // The first round is for the compiler.
      if (round >= 0) results.get(name)?.push(result);
    }
  }
  const reference = median(results.get('@fastify/busboy') ?? []);
  for (const [name, values] of results) {
    const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)];
    const figures = [middle, least, most].map((value) => value.toFixed(3)).join(' | ');
    rows.push(`| ${content} | ${name} | ${figures} | ${(middle / reference).toFixed(3)} |`);
  }
}

const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB, Node ${process.versions.node}`;
const report = `# Watching a multipart body

\`node bench/multipart.ts\`, ${new Date().toISOString().slice(0, 10)}, ${machine}. A body with one file of 10 MB in pieces of
64 KB; CPU seconds per GB, median, least and most of ${ROUNDS} interleaved rounds; the ratio is that of the medians to busboy.

| file | contender | CPU s/GB | least | most | × busboy |
|---|---|--:|--:|--:|--:|
${rows.join('\n')}
`;
console.log(report);
const results = new URL('./results/', import.meta.url);
await mkdir(results, { recursive: true });
await writeFile(new URL('multipart.md', results), report);

/**
 * The upstream where the emulator would be in the way: it takes any token, answers at once, and counts. With a limit it
 * has the emulator's limiter in front. `GET /-/counts` hands over what was counted, and begins anew.
 *   node bench/thumbnails/upstream.ts [PER-SECOND]
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLimiter } from '../../src/emulator/limiter.ts';
import type { Asked } from './counts.ts';
import { bodyOf, etagOf, indexOf } from './hot-set.ts';

const perSecond = Number(process.argv[2] ?? 0);
const limiter = createLimiter(perSecond > 0 ? { perSecond } : { algorithm: 'off' }, () => performance.now());
let asked: Asked = { bytes: 0, vouching: 0, refused: 0 };

const REFUSAL = JSON.stringify({ error: 'service_unavailable', exception: '', timestamp: 0, duration: 0 });
const MODIFIED = new Date(Date.now() - 3_600_000).toUTCString();

function answer(req: IncomingMessage, res: ServerResponse): void {
  if (!limiter.admit('egress', 'thumbnail').accepted) {
    asked.refused += 1;
    res.writeHead(503, { 'Content-Type': 'application/json' }).end(REFUSAL);
    return;
  }
  const index = indexOf(req.url ?? '');
  const fields = { ETag: etagOf(index), 'Last-Modified': MODIFIED };
  const { range, 'if-none-match': condition } = req.headers;
  if (condition === fields.ETag) {
    asked.vouching += 1;
    res.writeHead(304, fields).end();
    return;
  }
  const body = bodyOf(index);
  if (range === 'bytes=0-0') {
    asked.vouching += 1;
    const part = { 'Content-Range': `bytes 0-0/${body.length}`, 'Content-Length': 1, 'Content-Type': 'image/jpeg' };
    res.writeHead(206, { ...fields, ...part }).end(body.subarray(0, 1));
    return;
  }
  asked.bytes += 1;
  res.writeHead(200, { ...fields, 'Content-Type': 'image/jpeg', 'Content-Length': body.length }).end(body);
}

const server = createServer((req, res) => {
  // Clients of the bench leave in the middle.
  res.on('error', () => {});
  if (req.url !== '/-/counts') return answer(req, res);
  res.end(JSON.stringify(asked));
  asked = { bytes: 0, vouching: 0, refused: 0 };
});
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);

/**
 * The least that gives the same bytes to the same people: a bare node:http handler with everything in a Map. What it
 * lacks is what a gateway is for.
 *   node bench/thumbnails/bare.ts FILES
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BODY_BYTES, bodyOf, etagOf, pathOf, secretOf } from './hot-set.ts';

const files = Number(process.argv[2]);
const kept = new Map(
  Array.from({ length: files }, (_, index) => [
    pathOf(index),
    {
      secret: secretOf(index),
      body: bodyOf(index),
      fields: ['Content-Type', 'image/jpeg', 'Content-Length', String(BODY_BYTES), 'ETag', etagOf(index)],
    },
  ]),
);
/** Tokens are believed as they come: what a gateway knows of them is one look into a Map, and so it is here. */
const known = new Map<string, boolean>();

const server = createServer((req, res) => {
  const { authorization = '', 'share-secret': secret, thumbnail } = req.headers;
  const entry = kept.get(req.url ?? '');
  if (!known.has(authorization)) known.set(authorization, authorization.startsWith('Bearer '));
  if (!entry || secret !== entry.secret || thumbnail !== 'true' || known.get(authorization) !== true) {
    res.writeHead(403).end();
    return;
  }
  res.writeHead(200, entry.fields).end(entry.body);
});
server.keepAliveTimeout = 75_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);

/** Writes lines until the limit of this process's files is met, moves the file away, and goes on; says which trouble it had. */
import { rename } from 'node:fs/promises';
import { openAuditFile } from '../../src/audit/audit-file.ts';
import { systemClock } from '../../src/clock.ts';

const path = process.argv[2] ?? '';
const { promise, resolve } = Promise.withResolvers<string>();
const options = { path, rotateBytes: 1024 ** 2, rotateEvery: 'never', keepFiles: 2 } as const;
const file = openAuditFile(options, systemClock, () => file.trouble !== undefined && resolve(file.trouble));
const keepAlive = setInterval(() => {}, 1000);
for (let n = 0; n < 100; n += 1) file.write(`${JSON.stringify({ n, pad: 'x'.repeat(100) })}\n`);
process.stdout.write(await promise);
await rename(path, `${path}.moved`);
file.reopen();
await file[Symbol.asyncDispose]();
clearInterval(keepAlive);

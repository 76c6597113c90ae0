#!/usr/bin/env node
// Plain JavaScript on purpose: an old Node cannot even parse the TypeScript behind it, and shall say why.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `chatfiles-gateway needs Node 24 or newer, this is ${process.version}. Install it, or run: npm i -g node@24`,
  );
  process.exit(1);
}
await import('../src/main.ts');

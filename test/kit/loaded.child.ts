/** Runs main.ts with the arguments of this process, and tells on SIGUSR2 which files of packages it has loaded. */
import { registerHooks } from 'node:module';

const loaded = new Set<string>();
registerHooks({
  load(url, context, next) {
    const path = url.split('/node_modules/')[1];
    if (path !== undefined) loaded.add(path);
    return next(url, context);
  },
});
process.on('SIGUSR2', () => process.stdout.write(`LOADED ${JSON.stringify([...loaded])}\n`));

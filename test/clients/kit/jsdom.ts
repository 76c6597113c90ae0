import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { createDriver, type Device } from './device.ts';
import type { Sdk } from './sdks.ts';
import type { Place } from './stage.ts';

/** As much of jsdom as is used. Its own types would bring a browser's globals into every file of this project. */
type Jsdom = {
  VirtualConsole: new () => unknown;
  JSDOM: new (
    html: string,
    options: { url: string; runScripts: 'outside-only'; virtualConsole: unknown },
  ) => { window: { eval(source: string): unknown; close(): void } };
};

const { JSDOM, VirtualConsole } = createRequire(import.meta.url)('jsdom') as Jsdom;
const DRIVER = fileURLToPath(new URL('../page/driver.js', import.meta.url));

/** Windows of jsdom: no screen, but a browser's XMLHttpRequest, WebSocket and CORS. */
export function jsdomPlace(): Place {
  const opened = new DisposableStack();
  return {
    async open({ bundle }: Sdk, origin: string): Promise<Device> {
      const { window } = new JSDOM('<!doctype html><body></body>', {
        url: `${origin}/`,
        runScripts: 'outside-only',
        // What the SDK says to the console is not for the test's reader.
        virtualConsole: new VirtualConsole(),
      });
      opened.defer(() => window.close());
      window.eval(await readFile(bundle, 'utf8'));
      window.eval(await readFile(DRIVER, 'utf8'));
      return createDriver(async (expression) => {
        const told = await (window.eval(expression) as Promise<unknown>);
        // Out of the window's realm, as it would come out of a browser.
        return told === undefined ? undefined : (JSON.parse(JSON.stringify(told)) as unknown);
      });
    },
    async [Symbol.asyncDispose]() {
      opened.dispose();
    },
  };
}

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { createDriver, type Device } from './device.ts';
import type { Place } from './stage.ts';

/** A device whose page can be looked at. */
export type BrowserDevice = Device & { page: Page };

/** Pages in a browser, each in a profile of its own, as if on another machine. */
export type BrowserPlace = Omit<Place, 'open'> & {
  open(...what: Parameters<Place['open']>): Promise<BrowserDevice>;
  /** The origins that any page asked since this was asked last, its own site and WebSockets among them. */
  asked(): Set<string>;
};

/** Starts the machine's Chromium, for which nothing but this machine has an address. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: pathOf('chromium'),
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
}

/** Opens pages in this browser. */
export function browserPlace(browser: Browser, options: BrowserContextOptions = {}): BrowserPlace {
  const contexts = new AsyncDisposableStack();
  let asked = new Set<string>();
  // Addresses of WebSockets have an origin too.
  const ask = (url: string) => void asked.add(new URL(url).origin);
  return {
    asked() {
      const origins = asked;
      asked = new Set();
      return origins;
    },
    async open(_sdk, origin) {
      const context = await browser.newContext(options);
      contexts.defer(() => context.close());
      context.on('request', (request) => ask(request.url()));
      const page = await context.newPage();
      page.on('websocket', (socket) => ask(socket.url()));
      await page.goto(origin);
      return { ...createDriver((expression) => page.evaluate(expression)), page };
    },
    [Symbol.asyncDispose]: () => contexts.disposeAsync(),
  };
}

function pathOf(command: string): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`no ${command} on PATH`);
}

/** What there is of a process once, however many gateways are in it: memory, CPU, descriptors, the delay of its loop. */
import { collectDefaultMetrics, Registry } from 'prom-client';

let registry: Registry | undefined;

/** The registry of this process, opened when it is first asked for: it watches the event loop from then on. */
export function processRegistry(): Registry {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}

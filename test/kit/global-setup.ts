import { PROGRAMS, requirePrograms } from './servers.ts';

/** Runs once before all tests: no test is ever skipped for want of a server. */
export function setup(): void {
  requirePrograms(PROGRAMS);
}

import { readFileSync } from 'node:fs';

/** The unit of /proc's times: a hundredth of a second on Linux, whatever the kernel's own is. */
const TICK_MS = 10;

/** The CPU time that processes and their children have taken so far, in user and system mode together; ms. */
export const cpuMs = (pids: readonly number[]): number => pids.reduce((total, pid) => total + cpuOf(pid), 0);

function cpuOf(pid: number): number {
  // The second field is the name in brackets, which may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS + cpuMs(childrenOf(pid));
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** A process's memory in MB: what is resident now, or was at the most. */
export const memoryMb = (pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

import { cpus, loadavg, totalmem } from 'node:os';
import type { Goal } from './goals.ts';

/** One scenario's outcome as Markdown, and its goals. */
export type Section = { text: string; goals: Goal[] };

/** A table; what stands in the first column is text, the rest are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [
    `| ${head.join(' | ')} |`,
    `|---|${'--:|'.repeat(head.length - 1)}`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');
}

/** A number, or a dash where there is none. */
export const figure = (value: number, digits = 0): string => (Number.isFinite(value) ? value.toFixed(digits) : '–');

/** A section with its goals below. */
export const section = (title: string, body: string, goals: Goal[]): Section => ({
  text: [
    `## ${title}`,
    '',
    body,
    '',
    ...listed(
      'Goals missed',
      goals.filter(({ isMet }) => !isMet),
    ),
    ...listed(
      'Goals reached',
      goals.filter(({ isMet }) => isMet),
    ),
  ].join('\n'),
  goals,
});

const listed = (title: string, goals: readonly Goal[]): string[] =>
  goals.length === 0 ? [] : [`${title}:`, '', ...goals.map(({ text }) => `- ${text}`), ''];

/** The whole report. */
export function report(sections: readonly Section[], command: string): string {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB`;
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(', ');
  return `# Thumbnails from the cache

\`${command}\`, ${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}; load averages at the
end ${load}.

Everything runs on this machine: no network, no TLS, and an upstream that answers at once. So times show what is waited for
at the quota, not how far away Easemob is; and CPU times are comparable within this run, not with other machines.

${sections.map(({ text }) => text).join('\n')}`;
}

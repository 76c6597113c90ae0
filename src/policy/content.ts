import type { ContentConfig } from './config.ts';
import { readRule, type Rule, type Subject } from './content-rules.ts';
import { allow, type Decision, deny } from './decision.ts';
import { extensionsOf, isLie } from './extension.ts';
import type { Sniffed } from './sniff.ts';

/** A file as the rules see it: what its bytes show, and every name that somebody may read in its form. */
export type Specimen = { sniffed: Sniffed | undefined; names: readonly string[] };

/** Tells what files may go to an app. */
export type ContentPolicy = {
  /** Whether there is anything to judge for this app at all. */
  appliesTo(org: string, app: string): boolean;
  judge(org: string, app: string, file: Specimen): Decision;
};

/**
 * Reads rules into a policy. A file is judged by its bytes and by its name: the first rule that fits decides, and a rule
 * about an extension fits when any of its names has it. Whatever the rules allow, an extension that lies may be denied.
 */
export function createContentPolicy({ rules: texts, lyingExtensions }: ContentConfig): ContentPolicy {
  const rules = texts.flatMap((text) => readRule(text) ?? []);
  const deniesLies = lyingExtensions === 'deny';
  const rulesFor = (org: string, app: string) => rules.filter(({ apps }) => isFor(apps, org, app));
  return {
    appliesTo: (org, app) => deniesLies || rulesFor(org, app).length > 0,
    judge(org, app, { sniffed, names }) {
      const extensions = names.length === 0 ? [''] : names.flatMap(extensionsOf);
      const rule = rulesFor(org, app).find(({ of, allows }) => fits(of, allows, sniffed, extensions));
      if (rule && !rule.allows) return refusal(rule, sniffed);
      if (!deniesLies || !extensions.some((extension) => isLie(extension, sniffed))) return allow;
      const detail = sniffed
        ? `its name says otherwise than its bytes: ${sniffed.type}`
        : 'it is not what its name says';
      return { ...deny('CONTENT_REFUSED', `lying extension, sniffed ${sniffed?.type ?? 'unknown'}`), detail };
    },
  };
}

const isFor = (apps: string, org: string, app: string): boolean =>
  apps === '*/*' || apps === `${org}/*` || apps === `${org}/${app}`;

/** A file with two names has two extensions: one is enough to be denied, and all are needed to be allowed. */
function fits(of: Subject, allows: boolean, sniffed: Sniffed | undefined, extensions: readonly string[]): boolean {
  switch (of.kind) {
    case 'all':
      return true;
    case 'unknown':
      return sniffed === undefined;
    case 'types':
      return sniffed !== undefined && of.matches(sniffed.type);
    case 'extension':
      return allows ? extensions.every((extension) => extension === of.extension) : extensions.includes(of.extension);
  }
}

/** Of the client's own words nothing is repeated: it is told the type, or that it is the name. */
function refusal({ text, of }: Rule, sniffed: Sniffed | undefined): Decision {
  const what = of.kind === 'extension' ? 'by its extension' : (sniffed?.type ?? 'of no type that is known');
  return { ...deny('CONTENT_REFUSED', `the rule "${text}", sniffed ${sniffed?.type ?? 'unknown'}`), detail: what };
}

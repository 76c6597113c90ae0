import { allow, type Decision, deny } from './decision.ts';

/** Tells whether an org's app may be reached through this gateway. */
export type DestinationPolicy = (org: string, app: string) => Decision;

/** Reads a list of `org/app`, where the app, or both, may be `*`, into a policy. Names are compared by case, as Easemob does. */
export function createDestinationPolicy(patterns: readonly string[]): DestinationPolicy {
  const listed = new Set(patterns);
  return (org, app) =>
    [`${org}/${app}`, `${org}/*`, '*/*'].some((pattern) => listed.has(pattern))
      ? allow
      : deny('DESTINATION_UNKNOWN', 'the org/app is not on the list of destinations');
}

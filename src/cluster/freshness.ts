import type { Freshness, ViewProblem } from "../kube/types.ts";
import type { ClusterFreshness } from "./types.ts";

/** How far the reflector of each kind has come, asked whenever it matters. */
export interface ViewSources {
  readonly pods: () => Freshness;
  readonly nodes: () => Freshness;
  readonly slices: () => Freshness;
  readonly namespaces: () => Freshness;
}

/**
 * The view is fresh when every kind is complete and not older than `limitMs`, and the cluster is the one we started
 * with. A connection that broke a moment ago does not matter while the view is young enough.
 * @param identityProblem why the cluster's identity is in doubt
 */
export function combineFreshness(
  sources: ViewSources,
  identityProblem: ViewProblem | undefined,
  now: number,
  limitMs: number,
): ClusterFreshness {
  const states = Object.entries(sources).map(([kind, read]: [string, () => Freshness]) => ({ kind, state: read() }));
  const { caughtUpTo } = sources.pods();
  const problem =
    states.flatMap(({ kind, state }) => (state.synced ? [] : [notSynced(kind, state)]))[0] ??
    identityProblem ??
    states.flatMap(({ kind, state }) => (now - state.caughtUpTo < limitMs ? [] : [stale(kind, state, now)]))[0];
  return { fresh: problem === undefined, problem, caughtUpTo };
}

function notSynced(kind: string, { problem }: Freshness): ViewProblem {
  const why = problem === undefined ? "" : `: ${problem.message}`;
  return { reason: problem?.reason ?? "NotSynced", message: `${kind} have not been listed completely yet${why}` };
}

function stale(kind: string, { caughtUpTo, problem }: Freshness, now: number): ViewProblem {
  const age = Number.isFinite(caughtUpTo)
    ? `are ${Math.round((now - caughtUpTo) / 1000)} s old`
    : "are of unproven age";
  const why = problem === undefined ? "" : `: ${problem.message}`;
  return { reason: problem?.reason ?? "ViewStale", message: `${kind} ${age}${why}` };
}

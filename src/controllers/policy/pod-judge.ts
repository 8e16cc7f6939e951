import { type Compliance, judgePod } from "../../admission/compliance.ts";
import type { Sites } from "../../admission/sites.ts";
import { type PodPart, podParts, type PodPolicy, type Site } from "../../admission/types.ts";
import type { PodTemplate } from "../../cluster/pod-template.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";

/** What is judged alike: everything but the template is the same. */
interface Place {
  readonly policy: PodPolicy;
  readonly site: Site | undefined;
  readonly verdicts: Map<PodTemplate, Compliance>;
}

/**
 * Judges pods by their policies for the length of one pass over all pods, each template once in a namespace: policies,
 * nodes and namespaces are taken to stand still meanwhile.
 */
export class PodJudge {
  readonly #sites: Pick<Sites, "siteOf">;
  readonly #excluded: ReadonlySet<string>;
  readonly #places = new Map<string, Place>();

  /** @param excluded namespaces whose pods are left alone */
  constructor(sites: Pick<Sites, "siteOf">, excluded: ReadonlySet<string>) {
    this.#sites = sites;
    this.#excluded = excluded;
  }

  /** Undefined while it can not be judged, and where the policy wants nothing of pods. */
  judge(pod: PodRecord, { name, podPolicy, plan }: CompiledPolicy): Compliance | undefined {
    if (podPolicy === undefined || plan.mode === "Paused") return undefined;
    const key = `${name}/${pod.namespace}`;
    let place = this.#places.get(key);
    if (place === undefined) {
      place = { policy: podPolicy, site: this.#sites.siteOf(pod.namespace, podPolicy), verdicts: new Map() };
      this.#places.set(key, place);
    }
    if (place.site === undefined) return undefined;
    let verdict = place.verdicts.get(pod.template);
    if (verdict === undefined) {
      verdict = this.#excluded.has(pod.namespace)
        ? excluded(podPolicy, pod.namespace)
        : judgePod(JSON.parse(pod.template), podPolicy, place.site);
      place.verdicts.set(pod.template, verdict);
    }
    return verdict;
  }
}

function excluded(policy: PodPolicy, namespace: string): Compliance {
  const { dns, goResolver, sysctls: keepalive, gracePeriod, preStopSleep: preStop } = policy;
  const wanted: Readonly<Record<PodPart, unknown>> = { dns, goResolver, keepalive, gracePeriod, preStop };
  const message = `pods of namespace ${namespace} are left alone`;
  const skipped = podParts
    .filter((part) => wanted[part] !== undefined)
    .map((part) => ({ part, reason: "ExcludedNamespace" as const, message }));
  return { state: "Exempt", differences: [], skipped };
}

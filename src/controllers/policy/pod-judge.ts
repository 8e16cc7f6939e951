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
  /** Of the last pass, where policy and site were the same. */
  readonly earlier: ReadonlyMap<PodTemplate, Compliance>;
}

/**
 * Judges pods by their policies in passes over all pods, each template once in a namespace, and anew only where the
 * policy or the site changed. Within a pass they are taken to stand still.
 */
export class PodJudge {
  readonly #sites: Pick<Sites, "siteOf">;
  readonly #excluded: ReadonlySet<string>;
  #places = new Map<string, Place>();
  #before = new Map<string, Place>();

  /** @param excluded namespaces whose pods are left alone */
  constructor(sites: Pick<Sites, "siteOf">, excluded: ReadonlySet<string>) {
    this.#sites = sites;
    this.#excluded = excluded;
  }

  /** Begins a pass. What nobody asked about in the last one is forgotten. */
  begin(): void {
    this.#before = this.#places;
    this.#places = new Map();
  }

  /** Undefined while it can not be judged, and where the policy wants nothing of pods. */
  judge(pod: PodRecord, { name, podPolicy, plan }: CompiledPolicy): Compliance | undefined {
    if (podPolicy === undefined || plan.mode === "Paused") return undefined;
    const { site, verdicts, earlier } = this.#place(`${name}/${pod.namespace}`, pod.namespace, podPolicy);
    if (site === undefined) return undefined;
    let verdict = verdicts.get(pod.template);
    if (verdict === undefined) {
      verdict = earlier.get(pod.template) ?? this.#judge(pod, podPolicy, site);
      verdicts.set(pod.template, verdict);
    }
    return verdict;
  }

  #place(key: string, namespace: string, policy: PodPolicy): Place {
    let place = this.#places.get(key);
    if (place === undefined) {
      const site = this.#sites.siteOf(namespace, policy);
      const before = this.#before.get(key);
      const isSame = before?.policy === policy && JSON.stringify(before.site) === JSON.stringify(site);
      place = { policy, site, verdicts: new Map(), earlier: isSame ? before.verdicts : new Map() };
      this.#places.set(key, place);
    }
    return place;
  }

  #judge({ namespace, template }: PodRecord, policy: PodPolicy, site: Site): Compliance {
    if (this.#excluded.has(namespace)) return excluded(policy, namespace);
    return judgePod(JSON.parse(template), policy, site);
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

import { InternPool } from "./intern.ts";
import {
  canonicalIps,
  hasCondition,
  identityOf,
  noStrings,
  shared,
  sharedLabels,
  sharedList,
  stringMap,
} from "./project.ts";
import { templateOf } from "./pod-template.ts";
import type { RawContainer, RawContainerStatus, RawMetadata, RawPod } from "./raw.ts";
import type { DeclaredPort, PodRecord } from "./types.ts";

/** Annotations of our own domain are always kept. */
const ownAnnotation = /^(?:[a-z0-9-]+\.)*hygeia\.dev\//;
/** As long as a service name of a policy may be; a longer annotation is not one, and would break the memory bound. */
const longestAnnotation = 512;
/** What the API server fills in when the pod does not say, seconds. */
const defaultGrace = 30;
/** Linux allows no longer host name; a kubelet cuts the pod's name to it. */
const longestHostname = 63;
const phases: ReadonlySet<string> = new Set<PodRecord["phase"]>(["Pending", "Running", "Succeeded", "Failed"]);

/** Turns Pods as the API server sends them into the little that is kept of them. */
export class PodProjector {
  #annotations: ReadonlySet<string> = new Set();
  #version = 0;
  readonly #ports = new InternPool<readonly DeclaredPort[]>();

  /**
   * Sets the annotations to keep from now on, besides our own.
   * @returns true when a key is new: records projected before lack it until the pods are listed again
   */
  keepAnnotations(keys: Iterable<string>): boolean {
    const wanted = new Set(keys);
    const grew = !wanted.isSubsetOf(this.#annotations);
    this.#annotations = wanted;
    // One annotation too many does no harm: pods lose it when they change.
    if (grew) this.#version++;
    return grew;
  }

  /** Grows when what is kept of the same Pod has become more. */
  readonly version = (): number => this.#version;

  /** @param raw a Pod, parsed from JSON; what is missing in it reads as not known */
  readonly project = (raw: unknown): PodRecord => {
    const { metadata, spec, status } = raw as RawPod;
    const identity = identityOf(metadata);
    const hostNetwork = spec?.hostNetwork === true;
    const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? []).filter(isSidecar)];
    return {
      uid: identity.uid,
      namespace: identity.namespace,
      name: identity.name,
      resourceVersion: identity.resourceVersion,
      phase: phaseOf(status),
      deleting: (metadata?.deletionTimestamp ?? null) !== null,
      terminated: isTerminated(containers, [
        ...(status?.containerStatuses ?? []),
        ...(status?.initContainerStatuses ?? []),
      ]),
      ready: hasCondition(status?.conditions, "Ready"),
      node: shared(spec?.nodeName ?? ""),
      hostNetwork,
      graceMs: (spec?.terminationGracePeriodSeconds ?? defaultGrace) * 1000,
      // Those of the host network have their node's address, which is shared; the others' are their own.
      addresses: addressList([status?.podIP, ...(status?.podIPs ?? []).map((entry) => entry.ip)], hostNetwork),
      hostAddresses: addressList([status?.hostIP, ...(status?.hostIPs ?? []).map((entry) => entry.ip)], true),
      ports: this.#portsOf(containers, hostNetwork),
      labels: sharedLabels(metadata?.labels, identity.name),
      annotations: this.#annotationsOf(metadata, identity.name),
      workload: workloadOf(metadata, identity.uid),
      dnsNames: dnsNamesOf(spec, identity),
      nameOverride: nameOverrideOf(spec),
      template: templateOf(raw),
    };
  };

  #annotationsOf(metadata: RawMetadata | undefined, name: string): PodRecord["annotations"] {
    const raw = metadata?.annotations ?? {};
    const keys = Object.keys(raw).filter(
      (key) => (this.#annotations.has(key) || ownAnnotation.test(key)) && (raw[key]?.length ?? 0) <= longestAnnotation,
    );
    return keys.length === 0 ? noStrings : stringMap(raw, keys.sort(), name);
  }

  #portsOf(containers: readonly RawContainer[], hostNetwork: boolean): readonly DeclaredPort[] {
    const ports: DeclaredPort[] = [];
    for (const declared of containers.flatMap((container) => container.ports ?? [])) {
      const port = declared.containerPort ?? 0;
      ports.push({ port, hostPort: hostNetwork ? port : (declared.hostPort ?? 0), name: shared(declared.name ?? "") });
    }
    const text = ports.map(({ port, hostPort, name }) => `${port}/${hostPort}/${name}`).join(" ");
    return this.#ports.get(text, () => Object.freeze(ports));
  }
}

function isSidecar(container: RawContainer): boolean {
  return container.restartPolicy === "Always";
}

function phaseOf(status: RawPod["status"]): PodRecord["phase"] {
  const phase = status?.phase ?? "";
  return phases.has(phase) && !isPhaseByPodGC(status) ? (phase as PodRecord["phase"]) : "Unknown";
}

/**
 * PodGC marks the pods of a vanished node Failed before it removes them, without asking a kubelet; a phase that is final
 * already it leaves as it is, and then adds no condition either (Kubernetes 1.36, pkg/controller/podgc).
 */
function isPhaseByPodGC(status: RawPod["status"]): boolean {
  return (
    status?.conditions?.some(({ type, reason }) => type === "DisruptionTarget" && reason === "DeletionByPodGC") ?? false
  );
}

/** A container without a status may run unseen, so it counts as running. */
function isTerminated(containers: readonly RawContainer[], statuses: readonly RawContainerStatus[]): boolean {
  if (containers.length === 0) return false;
  return containers.every(({ name }) => {
    const status = statuses.find((candidate) => candidate.name === name);
    return (status?.state?.terminated ?? null) !== null;
  });
}

function addressList(texts: readonly (string | undefined)[], repeats: boolean): readonly string[] {
  const ips = canonicalIps(texts);
  return repeats || ips.length === 0 ? sharedList(ips) : ips;
}

/** A Deployment's pods change ReplicaSet with every rollout and stay one workload. */
function workloadOf(metadata: RawMetadata | undefined, uid: string): string {
  const owner = metadata?.ownerReferences?.find((candidate) => candidate.controller === true);
  if (owner?.kind === undefined || owner.name === undefined) return uid;
  const namespace = metadata?.namespace ?? "";
  const hash = metadata?.labels?.["pod-template-hash"];
  if (owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return shared(`${namespace}/Deployment/${owner.name.slice(0, -hash.length - 1)}`);
  }
  return shared(`${namespace}/${owner.kind}/${owner.name}`);
}

/** A pod has a name in DNS only under a subdomain; one without `hostname` knows itself by its own name there. */
function dnsNamesOf(spec: RawPod["spec"], { name, namespace }: { name: string; namespace: string }): readonly string[] {
  const subdomain = spec?.subdomain ?? "";
  if (subdomain === "") return sharedList([]);
  const host = (spec?.hostname ?? "") || name.slice(0, longestHostname).replace(/[-.]+$/, "");
  return [`${host}.${subdomain}.${namespace}`];
}

/** A name is taken for a pod's only with three labels, or with `svc` after them, and then whatever the domain is. */
function nameOverrideOf(spec: RawPod["spec"]): string | undefined {
  const labels = (spec?.hostnameOverride ?? "").split(".");
  const isLikePods = labels.length === 3 || (labels.length > 3 && labels[3] === "svc");
  return isLikePods ? labels.slice(0, 3).join(".") : undefined;
}

import { IGNORE_ANNOTATION } from "../../admission/types.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { Change, Sink } from "../../kube/types.ts";
import type { CompiledPolicy, PolicySet } from "../types.ts";
import type { MatchingPolicy, PolicyObject } from "./compile.ts";

/**
 * Labels of a namespace; without entries when it is not known (the API server gives every namespace the label
 * kubernetes.io/metadata.name, so an existing one has at least that).
 */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>>;

/** A policy that can match pods of one namespace. */
interface Candidate {
  readonly policy: MatchingPolicy;
  /** False when the answer of its namespace selector is not known. */
  readonly certain: boolean;
}

/** Namespaces whose last labels are remembered, so that a pod's policy is still known once its namespace is gone. */
const MAX_REMEMBERED_NAMESPACES = 10_000;

/**
 * The policies in force, from the RegistrationPolicy objects. Which of them can match in a namespace is worked out once
 * for each namespace; after that a look-up costs the pod selectors of those few.
 */
export class Policies implements PolicySet, Sink<PolicyObject> {
  readonly #namespaceLabels: NamespaceLabels;
  readonly #objects = new Map<string, PolicyObject>();
  readonly #candidates = new Map<string, readonly Candidate[]>();
  readonly #lastLabels = new Map<string, Readonly<Record<string, string>>>();
  readonly #listeners = new Set<() => void>();
  readonly #objectListeners = new Set<(policy: string) => void>();
  #inForce = new Map<string, MatchingPolicy>();
  #ordered: readonly MatchingPolicy[] = [];
  #revision = 0;

  constructor(namespaceLabels: NamespaceLabels) {
    this.#namespaceLabels = namespaceLabels;
  }

  apply(changes: readonly Change<PolicyObject>[]): void {
    for (const { type, object } of changes) {
      if (type !== "Deleted") this.#objects.set(object.name, object);
      else if (this.#objects.get(object.name)?.uid === object.uid) this.#objects.delete(object.name);
    }
    this.#compare();
    for (const name of new Set(changes.map(({ object }) => object.name))) {
      for (const listener of this.#objectListeners) listener(name);
    }
  }

  /** Puts in force what is to be, and tells of it when it differs. */
  #compare(): void {
    const inForce = new Map<string, MatchingPolicy>();
    for (const { name, deleting, compilation } of this.#objects.values()) {
      if (deleting || !compilation.accepted) continue;
      const before = this.#inForce.get(name);
      inForce.set(name, before !== undefined && isSame(before, compilation.policy) ? before : compilation.policy);
    }
    if (inForce.size === this.#inForce.size && inForce.values().every((p) => this.#inForce.get(p.name) === p)) return;
    this.#inForce = inForce;
    this.#ordered = [...inForce.values()].sort(comparePolicies);
    this.#candidates.clear();
    this.#tell();
  }

  /** To be called when a namespace's labels changed, or it came or went. */
  namespaceChanged(namespace: string): void {
    const before = this.#candidates.get(namespace);
    this.#candidates.delete(namespace);
    if (before !== undefined && sameCandidates(before, this.#candidatesIn(namespace))) return;
    if (this.#ordered.some((policy) => policy.needsNamespaceLabels)) this.#tell();
  }

  forPod(pod: PodRecord): CompiledPolicy | undefined {
    const winner = this.matching(pod).next();
    return winner.done === true ? undefined : winner.value;
  }

  /**
   * Every policy that matches the pod, the one in charge first. Ends at a policy of which it is not known whether it
   * matches, since one of lower priority must not take its place.
   */
  *matching(pod: PodRecord): Generator<CompiledPolicy, void, undefined> {
    if (pod.annotations[IGNORE_ANNOTATION] === "true") return;
    for (const { policy, certain } of this.#candidatesIn(pod.namespace)) {
      if (!policy.selectsPod(pod)) continue;
      if (!certain) return;
      yield policy;
    }
  }

  /**
   * The one policy in charge of a pod of which nothing but its labels is known yet; undefined also where it is not
   * known whether a policy of higher priority matches.
   */
  forLabels(namespace: string, labels: Readonly<Record<string, string>>): CompiledPolicy | undefined {
    const first = this.#candidatesIn(namespace).find(({ policy }) => policy.selectsPod({ labels }));
    return first?.certain === true ? first.policy : undefined;
  }

  /** The policies of which it is certain that they can match pods of a namespace, the first in charge first. */
  inNamespace(namespace: string): readonly CompiledPolicy[] {
    return this.#candidatesIn(namespace).flatMap(({ policy, certain }) => (certain ? [policy] : []));
  }

  get(name: string): CompiledPolicy | undefined {
    return this.#inForce.get(name);
  }

  values(): Iterable<CompiledPolicy> {
    return this.#ordered;
  }

  /** The same, with what their specs say. */
  ordered(): Iterable<MatchingPolicy> {
    return this.#ordered;
  }

  isInForce(name: string, uid: string): boolean {
    return this.#inForce.get(name)?.uid === uid;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called with the name of every object that changed, be it in its status only. */
  subscribeObjects(listener: (policy: string) => void): () => void {
    this.#objectListeners.add(listener);
    return () => void this.#objectListeners.delete(listener);
  }

  /** Every object, whether in force or not. */
  objects(): Iterable<PolicyObject> {
    return this.#objects.values();
  }

  object(name: string): PolicyObject | undefined {
    return this.#objects.get(name);
  }

  /** Moves whenever forPod() can give another answer for the same pod. */
  get revision(): number {
    return this.#revision;
  }

  #candidatesIn(namespace: string): readonly Candidate[] {
    const known = this.#candidates.get(namespace);
    if (known !== undefined) return known;
    const labels = this.#labelsOf(namespace);
    const found: Candidate[] = [];
    for (const policy of this.#ordered) {
      const certain = labels !== undefined || !policy.needsNamespaceLabels;
      if (!certain || policy.selectsNamespace(labels ?? {})) found.push({ policy, certain });
    }
    // What rests on missing labels is not kept: they can come without a word to us.
    if (labels !== undefined) this.#candidates.set(namespace, found);
    return found;
  }

  #labelsOf(namespace: string): Readonly<Record<string, string>> | undefined {
    const labels = this.#namespaceLabels(namespace);
    if (!hasEntries(labels)) return this.#lastLabels.get(namespace);
    this.#lastLabels.delete(namespace);
    this.#lastLabels.set(namespace, labels);
    if (this.#lastLabels.size > MAX_REMEMBERED_NAMESPACES) {
      const oldest = this.#lastLabels.keys().next();
      if (oldest.done !== true) this.#lastLabels.delete(oldest.value);
    }
    return labels;
  }

  #tell(): void {
    this.#revision++;
    for (const listener of this.#listeners) listener();
  }
}

/** Best first: the highest priority, then the older, then by name. */
function comparePolicies(a: MatchingPolicy, b: MatchingPolicy): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function isSame(a: MatchingPolicy, b: MatchingPolicy): boolean {
  return a.uid === b.uid && a.generation === b.generation;
}

function sameCandidates(a: readonly Candidate[], b: readonly Candidate[]): boolean {
  return (
    a.length === b.length && a.every(({ policy, certain }, i) => policy === b[i]?.policy && certain === b[i].certain)
  );
}

function hasEntries(labels: Readonly<Record<string, string>>): boolean {
  for (const _ in labels) return true;
  return false;
}

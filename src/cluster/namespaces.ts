import type { Change, ViewProblem } from "../kube/types.ts";
import { sameMap } from "./compare.ts";
import { noStrings } from "./project.ts";
import type { NamespaceRecord } from "./project-namespace.ts";

/** The namespace that every cluster has from its first second, and never deletes: its UID names the cluster. */
const identityNamespace = "kube-system";

/** Namespaces: their labels, and by kube-system the cluster's identity, pinned when it is first seen. */
export class Namespaces {
  readonly #byName = new Map<string, NamespaceRecord>();
  #pinned: string | undefined;
  #otherUid: string | undefined;

  /** @returns false when nothing changed that is kept */
  apply(change: Change<NamespaceRecord>): boolean {
    const { object } = change;
    const before = this.#byName.get(object.name);
    if (change.type === "Deleted") return before?.uid === object.uid && this.#byName.delete(object.name);
    this.#byName.set(object.name, object);
    if (object.name === identityNamespace) {
      this.#pinned ??= object.uid;
      if (object.uid !== this.#pinned) this.#otherUid = object.uid;
    }
    return before?.uid !== object.uid || !sameMap(before.labels, object.labels);
  }

  /** Without entries when the namespace is not known. */
  labels(name: string): Readonly<Record<string, string>> {
    return this.#byName.get(name)?.labels ?? noStrings;
  }

  names(): IterableIterator<string> {
    return this.#byName.keys();
  }

  /** UID of kube-system as first seen. */
  get clusterUid(): string | undefined {
    return this.#pinned;
  }

  /** Why this is not, or not certainly, the cluster we started with. Another identity is never forgiven. */
  get problem(): ViewProblem | undefined {
    if (this.#otherUid !== undefined) {
      const message = `namespace ${identityNamespace} has UID ${this.#otherUid}, it was ${this.#pinned ?? ""}: the API server belongs to another cluster; restart the operator if that is meant`;
      return { reason: "ClusterIdentityChanged", message };
    }
    if (this.#byName.has(identityNamespace)) return undefined;
    const message = `namespace ${identityNamespace} is missing, so which cluster this is can not be told`;
    return { reason: "ClusterIdentityUnknown", message };
  }
}

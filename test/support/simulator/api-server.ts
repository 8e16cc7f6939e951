import type { NodeRecord } from "../../../src/cluster/project-node.ts";
import type { PodRecord } from "../../../src/cluster/types.ts";
import type { ObjectIdentity } from "../../../src/kube/types.ts";

/** One committed change of one object. */
export interface Commit<T> {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
}

/** Objects of one kind as the API server has them committed, and those who are told of every commit. */
export class Collection<T extends ObjectIdentity> {
  readonly #objects = new Map<string, T>();
  readonly #listeners: ((commit: Commit<T>) => void)[] = [];
  readonly #server: ApiServer;

  constructor(server: ApiServer) {
    this.#server = server;
  }

  get(uid: string): T | undefined {
    return this.#objects.get(uid);
  }

  /** What a quorum list answers now. */
  list(): T[] {
    return [...this.#objects.values()];
  }

  subscribe(listener: (commit: Commit<T>) => void): void {
    this.#listeners.push(listener);
  }

  create(object: T): void {
    this.#commit("ADDED", object);
  }

  /** Nothing happens when the object is gone: the API server answers 404. */
  update(uid: string, change: Partial<T>): void {
    const before = this.#objects.get(uid);
    if (before !== undefined) this.#commit("MODIFIED", { ...before, ...change });
  }

  delete(uid: string): void {
    const before = this.#objects.get(uid);
    if (before !== undefined) this.#commit("DELETED", before);
  }

  #commit(type: Commit<T>["type"], object: T): void {
    const revision = this.#server.nextRevision();
    const committed = { ...object, resourceVersion: String(revision) };
    if (type === "DELETED") this.#objects.delete(object.uid);
    else this.#objects.set(object.uid, committed);
    for (const listener of this.#listeners) listener({ revision, type, object: committed });
  }
}

/** The truth behind every list and watch. */
export class ApiServer {
  readonly pods = new Collection<PodRecord>(this);
  readonly nodes = new Collection<NodeRecord>(this);
  #revision = 1_000;

  /** What a quorum read returns now. */
  get revision(): number {
    return this.#revision;
  }

  nextRevision(): number {
    return ++this.#revision;
  }
}

import type { AdmissionObject } from "../../admission/cel/objects.ts";
import { mayI } from "../../kube/access.ts";
import { applyObject, sameContent } from "../../kube/apply.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Change, ObjectIdentity } from "../../kube/types.ts";
import { collections, type Kind, keyOf, OWNED_SELECTOR, ROOT, usableKinds } from "./kinds.ts";
import type { Availability, Served } from "./way.ts";

const FIELD_MANAGER = "hygeia-admission-policies";
const DEADLINE_MS = 10_000;

/** One of ours, as it was listed. */
interface Found {
  readonly kind: Kind;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

interface Written {
  readonly object: AdmissionObject;
  readonly resourceVersion: string;
}

/** Our admission policies on the API server: what is there, and how it comes to be what is wanted. */
export class AdmissionPolicyStore {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #written = new Map<string, Written>();

  constructor(transport: Pick<KubeTransport, "request">) {
    this.#transport = transport;
  }

  /** What the API server serves, and lets us write. @throws KubeError */
  async served(signal: AbortSignal): Promise<Served> {
    const names = await this.#resources(signal);
    const of = async (kind: "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy"): Promise<Availability> => {
      if (!names.has(collections[kind]) || !names.has(collections[`${kind}Binding`])) return "NotServed";
      const access = { verb: "create", group: "admissionregistration.k8s.io", resource: collections[kind] };
      return (await mayI(this.#transport, access, signal)) ? "Usable" : "NotAllowed";
    };
    return { mutating: await of("MutatingAdmissionPolicy"), validating: await of("ValidatingAdmissionPolicy") };
  }

  async #resources(signal: AbortSignal): Promise<ReadonlySet<string | undefined>> {
    try {
      const { body } = await this.#transport.request({ method: "GET", path: ROOT, deadlineMs: DEADLINE_MS, signal });
      const { resources = [] } = body as { readonly resources?: readonly { readonly name?: string }[] };
      return new Set(resources.map(({ name }) => name));
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return new Set();
      throw error;
    }
  }

  /** All of ours that are there. Kinds that can not be written have none. @throws KubeError */
  async list(served: Served, signal: AbortSignal): Promise<readonly Found[]> {
    const lists = await Promise.all(usableKinds(served).map((kind) => this.#listKind(kind, signal)));
    return lists.flat();
  }

  async #listKind(kind: Kind, signal: AbortSignal): Promise<Found[]> {
    const path = `${ROOT}/${collections[kind]}`;
    const query = { labelSelector: OWNED_SELECTOR };
    const request = { method: "GET", path, query, deadlineMs: DEADLINE_MS, signal } as const;
    const { body } = await this.#transport.request(request);
    const { items } = body as { readonly items?: readonly { readonly metadata: Omit<Found, "kind"> }[] | null };
    return (items ?? []).map(({ metadata: { name, uid, resourceVersion } }) => ({ kind, name, uid, resourceVersion }));
  }

  /** Takes away what is not wanted, bindings first. @throws KubeError */
  async remove(found: readonly Found[], wanted: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (const { kind, name, uid } of found) {
      if (wanted.has(keyOf(kind, name))) continue;
      this.#written.delete(keyOf(kind, name));
      try {
        await this.#transport.request({
          method: "DELETE",
          path: `${ROOT}/${collections[kind]}/${encodeURIComponent(name)}`,
          body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } },
          deadlineMs: DEADLINE_MS,
          signal,
        });
      } catch (error) {
        if (!(error instanceof KubeError) || !(error.isNotFound || error.isConflict)) throw error;
      }
    }
  }

  /** Writes it unless it is there as we wrote it. @throws KubeError */
  async write(object: AdmissionObject, found: readonly Found[], signal: AbortSignal): Promise<"Written" | "Unchanged"> {
    const { kind, metadata } = object;
    const key = keyOf(kind, metadata.name);
    const before = this.#written.get(key);
    const there = found.find((one) => one.kind === kind && one.name === metadata.name);
    const isAsWritten = there !== undefined && there.resourceVersion === before?.resourceVersion;
    if (isAsWritten && sameContent(before.object, object)) return "Unchanged";
    const now = there === undefined ? await this.#create(object, signal) : await this.#replace(object, there, signal);
    this.#written.set(key, { object, resourceVersion: now });
    return "Written";
  }

  /** Takes the name over where an object of it has lost our label. @returns the version that was written */
  async #create(object: AdmissionObject, signal: AbortSignal): Promise<string> {
    const result = await applyObject(this.#transport, {
      path: pathOf(object),
      fieldManager: FIELD_MANAGER,
      force: true,
      deadlineMs: DEADLINE_MS,
      signal,
      object: { ...object },
    });
    return result.outcome === "Applied" ? versionOf(result.object) : "";
  }

  /**
   * Every field is ours: whoever changed one changed what a RegistrationPolicy says. An apply would leave what another
   * added to a list, and be refused where ours and the other's do not go together (`Warn` and `Deny`).
   */
  async #replace(object: AdmissionObject, { uid, resourceVersion }: Found, signal: AbortSignal): Promise<string> {
    const { body } = await this.#transport.request({
      method: "PUT",
      path: pathOf(object),
      query: { fieldManager: FIELD_MANAGER, fieldValidation: "Strict" },
      body: { ...object, metadata: { ...object.metadata, uid, resourceVersion } },
      deadlineMs: DEADLINE_MS,
      signal,
    });
    return versionOf(body);
  }

  /** Whether an object is no more as we wrote it: another wrote or deleted it. What we are writing just now may be told too. */
  isByOthers(kind: Kind, { type, object }: Change<ObjectIdentity>): boolean {
    const written = this.#written.get(keyOf(kind, object.name));
    return type === "Deleted" ? written !== undefined : written?.resourceVersion !== object.resourceVersion;
  }
}

function pathOf({ kind, metadata }: AdmissionObject): string {
  return `${ROOT}/${collections[kind as Kind]}/${encodeURIComponent(metadata.name)}`;
}

function versionOf(object: unknown): string {
  return (object as { readonly metadata: { readonly resourceVersion: string } }).metadata.resourceVersion;
}

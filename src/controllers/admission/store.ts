import { ADMISSION_GROUP, type AdmissionObject, OWNED_LABEL } from "../../admission/cel/objects.ts";
import { mayI } from "../../kube/access.ts";
import { applyObject, sameContent } from "../../kube/apply.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Availability, Served } from "./way.ts";

const ROOT = `/apis/${ADMISSION_GROUP}`;
const FIELD_MANAGER = "hygeia-admission-policies";
const DEADLINE_MS = 10_000;

/** The kinds that are written, bindings first: so things are taken away. */
const collections = {
  MutatingAdmissionPolicyBinding: "mutatingadmissionpolicybindings",
  MutatingAdmissionPolicy: "mutatingadmissionpolicies",
  ValidatingAdmissionPolicyBinding: "validatingadmissionpolicybindings",
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
} as const;
type Kind = keyof typeof collections;

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
  async list({ mutating, validating }: Served, signal: AbortSignal): Promise<readonly Found[]> {
    const found: Found[] = [];
    for (const kind of Object.keys(collections) as Kind[]) {
      if ((kind.startsWith("Mutating") ? mutating : validating) !== "Usable") continue;
      found.push(...(await this.#listKind(kind, signal)));
    }
    return found;
  }

  async #listKind(kind: Kind, signal: AbortSignal): Promise<Found[]> {
    const labelSelector = Object.entries(OWNED_LABEL)
      .map(([name, value]) => `${name}=${value}`)
      .join(",");
    const path = `${ROOT}/${collections[kind]}`;
    const request = { method: "GET", path, query: { labelSelector }, deadlineMs: DEADLINE_MS, signal } as const;
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
    const result = await applyObject(this.#transport, {
      path: `${ROOT}/${collections[kind as Kind]}/${encodeURIComponent(metadata.name)}`,
      fieldManager: FIELD_MANAGER,
      // Every field is ours: whoever changed one changed what a RegistrationPolicy says.
      force: true,
      deadlineMs: DEADLINE_MS,
      signal,
      object: { ...object },
    });
    if (result.outcome === "Applied") {
      const { metadata: now } = result.object as { readonly metadata: { readonly resourceVersion: string } };
      this.#written.set(key, { object, resourceVersion: now.resourceVersion });
    }
    return "Written";
  }
}

/** Unique among all kinds. */
export function keyOf(kind: string, name: string): string {
  return `${kind}/${name}`;
}

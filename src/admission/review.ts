import {
  ADMISSION_LABEL,
  type AdmissionSnapshot,
  type Mutation,
  type PatchOperation,
  type PodPolicy,
  type Site,
} from "./types.ts";

/** Version of the AdmissionReview that is read and written. */
const REVIEW_VERSION = "admission.k8s.io/v1";
/** Annotation that the kubelet puts on the mirror of a static pod. */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** Annotation on a pod of a dry run by which a replica asks whether the API server asks the webhook. */
export const PROBE_ANNOTATION = "hygeia.dev/probe";
/** Annotation with which it is answered, of the same value. */
export const PROBED_ANNOTATION = "hygeia.dev/probed";
/** Longest value of an audit annotation that is written. */
const AUDIT_LIMIT = 1_024;

/** Why a pod was left, or what was done to it. Stable: metrics and docs name them. */
export const reviewReasons = {
  /** The patch brings the pod in line with its policy. */
  Changed: "Patched",
  /** The pod obeys its policy already. */
  Compliant: "Unchanged",
  /** All that the policy wants was left out; the skipped parts say why. */
  Skipped: "Unchanged",
  /** No policy that wants anything of pods is in charge. */
  NoPolicy: "Unchanged",
  /** The pod's label exempts it. */
  OptedOut: "Unchanged",
  /** The mirror of a static pod: the kubelet does not read it back. */
  MirrorPod: "Unchanged",
  /** A namespace of the system's or of the operator's own. */
  ExemptNamespace: "Unchanged",
  /** A dry run by which a replica checks that the API server asks. */
  Probe: "Unchanged",
  /** Not the creation of a pod. */
  NotCreate: "Unchanged",
  /** A sub-resource, such as pods/eviction. */
  SubResource: "Unchanged",
  /** Another kind than v1 Pod. */
  OtherKind: "Unchanged",
  /** The policies and the cluster are not known completely yet. */
  NotReady: "Failed",
  /** Not an AdmissionReview that can be read. */
  BadReview: "Failed",
  /** An AdmissionReview of a version that is not known. */
  UnknownVersion: "Failed",
  /** A mistake in the program; the log holds the stack trace. */
  Exception: "Failed",
} as const satisfies Record<string, "Patched" | "Unchanged" | "Failed">;
export type ReviewReason = keyof typeof reviewReasons;

/** What became of one review. */
export interface Verdict {
  readonly reason: ReviewReason;
  readonly mutation?: Mutation;
  readonly policy?: PodPolicy;
  /** What a probe is answered with. */
  readonly probe?: string;
  /** What was caught, for `Exception`. */
  readonly error?: unknown;
}

export interface Reviewed extends Verdict {
  /** The AdmissionReview to answer with. It always allows. */
  readonly answer: object;
}

/** Computes what is to be done to a pod. Pure. */
export type MutatePod = (pod: Readonly<Record<string, unknown>>, policy: PodPolicy, site: Site) => Mutation;

export interface ReviewParts {
  /** Undefined while it can not answer yet. */
  readonly snapshot: () => AdmissionSnapshot | undefined;
  readonly mutate: MutatePod;
  /** Namespaces whose pods are never touched, whatever the configuration lets through. */
  readonly exemptNamespaces: ReadonlySet<string>;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Answers one AdmissionReview from memory: no I/O, no clock. It never throws and never denies; whatever is not the
 * plain creation of a pod that a policy is in charge of leaves the pod as it is. A dry run is answered alike, since
 * nothing is written either way.
 */
export function review(body: string, parts: ReviewParts): Reviewed {
  let uid = "";
  let verdict: Verdict;
  try {
    const envelope = parse(body);
    const request = fieldsOf(envelope?.["request"]);
    if (typeof request?.["uid"] === "string") uid = request["uid"];
    verdict = judge(envelope, request, parts);
  } catch (error) {
    verdict = { reason: "Exception", error };
  }
  return { ...verdict, answer: answerOf(uid, verdict) };
}

function judge(envelope: Fields | undefined, request: Fields | undefined, parts: ReviewParts): Verdict {
  if (envelope?.["kind"] !== "AdmissionReview") return { reason: "BadReview" };
  if (envelope["apiVersion"] !== REVIEW_VERSION) return { reason: "UnknownVersion" };
  if (request === undefined || typeof request["uid"] !== "string") return { reason: "BadReview" };
  if (request["operation"] !== "CREATE") return { reason: "NotCreate" };
  if (!isAbsent(request["subResource"])) return { reason: "SubResource" };
  if (!isKind(request["kind"], "kind", "Pod") || !isKind(request["resource"], "resource", "pods"))
    return { reason: "OtherKind" };

  const namespace = request["namespace"];
  const pod = fieldsOf(request["object"]);
  const metadata = fieldsOf(pod?.["metadata"]);
  if (pod === undefined || metadata === undefined || fieldsOf(pod["spec"]) === undefined)
    return { reason: "BadReview" };
  if (typeof namespace !== "string" || namespace === "") return { reason: "BadReview" };

  if (parts.exemptNamespaces.has(namespace)) return { reason: "ExemptNamespace" };
  const annotations = fieldsOf(metadata["annotations"]) ?? {};
  if (Object.hasOwn(annotations, MIRROR_ANNOTATION)) return { reason: "MirrorPod" };
  const probe = annotations[PROBE_ANNOTATION];
  if (request["dryRun"] === true && typeof probe === "string") return { reason: "Probe", probe };
  const labels = (fieldsOf(metadata["labels"]) ?? {}) as Readonly<Record<string, string>>;
  if (labels[ADMISSION_LABEL] === "Disabled") return { reason: "OptedOut" };

  const snapshot = parts.snapshot();
  if (snapshot === undefined) return { reason: "NotReady" };
  const charge = snapshot.inChargeOf(namespace, labels);
  if (charge === undefined) return { reason: "NoPolicy" };
  const mutation = parts.mutate(pod, charge.policy, charge.site);
  return { reason: reasonOf(mutation), mutation, policy: charge.policy };
}

function reasonOf(mutation: Mutation): ReviewReason {
  if (mutation.changed.length > 0) return "Changed";
  return mutation.applied.length === 0 && mutation.skipped.length > 0 ? "Skipped" : "Compliant";
}

function answerOf(uid: string, { mutation, policy, probe }: Verdict): object {
  const patch = probe === undefined ? (mutation?.patch ?? []) : [probed(probe)];
  return {
    apiVersion: REVIEW_VERSION,
    kind: "AdmissionReview",
    response: {
      uid,
      allowed: true,
      ...(patch.length > 0 ? { patchType: "JSONPatch", patch: encode(patch) } : {}),
      ...(mutation !== undefined && policy !== undefined ? { auditAnnotations: auditOf(mutation, policy) } : {}),
    },
  };
}

/** Words for the API server's audit log; it puts the webhook's name before each key. */
function auditOf({ applied, skipped }: Mutation, policy: PodPolicy): Record<string, string> {
  const left = skipped.map(({ part, reason }) => `${part}=${reason}`).join(",");
  return {
    policy: `${policy.name}@${policy.generation}`,
    ...(applied.length > 0 ? { applied: applied.join(",") } : {}),
    ...(left === "" ? {} : { skipped: left.slice(0, AUDIT_LIMIT) }),
  };
}

function probed(value: string): PatchOperation {
  return { op: "add", path: `/metadata/annotations/${PROBED_ANNOTATION.replace("/", "~1")}`, value };
}

function encode(patch: readonly PatchOperation[]): string {
  return Buffer.from(JSON.stringify(patch)).toString("base64");
}

function parse(body: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(body));
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

/** True for the core group's v1 and this name, under `kind` or `resource`. */
function isKind(value: unknown, field: string, name: string): boolean {
  const fields = fieldsOf(value);
  return fields !== undefined && isAbsent(fields["group"]) && fields["version"] === "v1" && fields[field] === name;
}

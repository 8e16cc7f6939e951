import { mutateDns } from "./dns.ts";
import { mutateGoResolver } from "./go-resolver.ts";
import { mutateKeepalive } from "./keepalive.ts";
import { Ledger } from "./ledger.ts";
import { mutateGracePeriod, mutatePreStop } from "./lifecycle.ts";
import { add, type PartOutcome, skip } from "./outcome.ts";
import { type PodShape, readPod } from "./pod-shape.ts";
import {
  ADMISSION_LABEL,
  APPLIED_ANNOTATION,
  IGNORE_ANNOTATION,
  type Mutation,
  type PatchOperation,
  type PodPart,
  podParts,
  type PodPolicy,
  SET_ANNOTATION,
  type Site,
  SKIPPED_ANNOTATION,
  type SkipReason,
} from "./types.ts";

/** The kubelet's own annotation on the pod that mirrors a static one, which only its file can change. */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** The API server refuses an object whose annotations are larger than this together, bytes. */
const MAX_ANNOTATION_BYTES = 256 * 1024;

/**
 * What makes a pod that is being created obey its policy. Never throws and never takes anything away. A pod that is not
 * of the form the Kubernetes API gives it is left as it is. Applied to a pod that obeys already, be it by an earlier
 * patch of ours, the patch is empty.
 * @param pod parsed JSON, not validated
 */
export function mutatePod(pod: unknown, policy: PodPolicy, site: Site): Mutation {
  const shape = readPod(pod);
  if (shape === undefined) return unchanged(policy, "NotUnderstood", "the pod is not of the form that is known");
  if (shape.labels[ADMISSION_LABEL] === "Disabled") {
    return unchanged(policy, "OptedOut", `label ${ADMISSION_LABEL} of the pod is Disabled`);
  }
  if (shape.annotations?.[IGNORE_ANNOTATION] === "true") {
    return unchanged(policy, "OptedOut", `annotation ${IGNORE_ANNOTATION} of the pod is true`);
  }
  if (shape.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return unchanged(policy, "StaticPod", "only the file of a static pod can change it");
  }
  const ledger = new Ledger(shape.annotations);
  const outcomes = shape.windows
    ? skipAll(policy, "WindowsPod", "the pod runs on Windows")
    : outcomesFor(policy, shape, site, ledger);
  const changes = outcomes.flatMap(({ patch }) => patch);
  const annotations = annotationsFor(policy, outcomes, shape, ledger);
  if (!fits(annotations, shape)) {
    return unchanged(policy, "AnnotationsFull", "the pod's annotations have no room for ours");
  }
  return {
    patch: [...changes, ...annotationPatch(annotations, shape)],
    applied: partsOf(outcomes, ({ applied }) => applied),
    changed: partsOf(outcomes, ({ patch }) => patch.length > 0),
    skipped: outcomes.flatMap(({ skipped }) => skipped ?? []),
  };
}

/** Not even by an annotation. */
function unchanged(policy: PodPolicy, reason: SkipReason, message: string): Mutation {
  const skipped = skipAll(policy, reason, message).flatMap((outcome) => outcome.skipped ?? []);
  return { patch: [], applied: [], changed: [], skipped };
}

function outcomesFor(policy: PodPolicy, pod: PodShape, site: Site, ledger: Ledger): PartOutcome[] {
  const { dns, goResolver, sysctls, gracePeriod, preStopSleep } = policy;
  const outcomes: PartOutcome[] = [];
  if (dns !== undefined) outcomes.push(mutateDns(dns, pod, site, ledger));
  if (goResolver !== undefined) outcomes.push(mutateGoResolver(goResolver, pod, ledger));
  if (sysctls !== undefined) outcomes.push(mutateKeepalive(sysctls, pod, site, ledger));
  if (gracePeriod !== undefined) outcomes.push(mutateGracePeriod(gracePeriod, pod));
  if (preStopSleep !== undefined) {
    const grace = Math.max(pod.gracePeriod, gracePeriod ?? 0);
    outcomes.push(mutatePreStop(preStopSleep, grace, pod, site, ledger));
  }
  return outcomes;
}

function skipAll(policy: PodPolicy, reason: SkipReason, message: string): PartOutcome[] {
  const { dns, goResolver, sysctls, gracePeriod, preStopSleep } = policy;
  const wanted: Readonly<Record<PodPart, unknown>> = {
    dns,
    goResolver,
    keepalive: sysctls,
    gracePeriod,
    preStop: preStopSleep,
  };
  return podParts.filter((part) => wanted[part] !== undefined).map((part) => skip(part, reason, message));
}

function partsOf(outcomes: readonly PartOutcome[], holds: (outcome: PartOutcome) => boolean): PodPart[] {
  return outcomes.filter(holds).map(({ part }) => part);
}

type Annotations = readonly (readonly [name: string, value: string])[];

/** Those to set or to set anew. A pod that obeys without us and that we never saw needs none. */
function annotationsFor(
  { name, generation }: PodPolicy,
  outcomes: readonly PartOutcome[],
  { annotations = {} }: PodShape,
  ledger: Ledger,
): Annotations {
  const wanted = new Map<string, string>();
  const isTouched = outcomes.some(({ patch, skipped }) => patch.length > 0 || skipped !== undefined);
  const isApplied = outcomes.some(({ applied }) => applied);
  if (isApplied && (isTouched || annotations[APPLIED_ANNOTATION] !== undefined)) {
    wanted.set(APPLIED_ANNOTATION, `${name}@${generation}`);
  }
  const skipped = outcomes.flatMap((outcome) => outcome.skipped ?? []);
  if (skipped.length > 0 || annotations[SKIPPED_ANNOTATION] !== undefined) {
    wanted.set(SKIPPED_ANNOTATION, skipped.map(({ part, reason }) => `${part}=${reason}`).join(","));
  }
  const set = outcomes.flatMap((outcome) => outcome.set);
  if (set.length > 0) wanted.set(SET_ANNOTATION, ledger.with(set));
  return [...wanted].filter(([key, value]) => annotations[key] !== value);
}

function annotationPatch(wanted: Annotations, { annotations }: PodShape): PatchOperation[] {
  if (wanted.length === 0) return [];
  if (annotations === undefined) return [add("/metadata/annotations", Object.fromEntries(wanted))];
  return wanted.map(([name, value]) => add(`/metadata/annotations/${name.replaceAll("/", "~1")}`, value));
}

function fits(wanted: Annotations, { annotations = {} }: PodShape): boolean {
  const present = Object.entries(annotations);
  const bytes = [...present, ...wanted].reduce((sum, entry) => sum + Buffer.byteLength(entry.join("")), 0);
  return wanted.length === 0 || bytes <= MAX_ANNOTATION_BYTES;
}

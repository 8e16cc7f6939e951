import { InternPool } from "./intern.ts";

/**
 * What decides whether a pod obeys a policy, as JSON of the form the API has, all else left out. Pods of one workload
 * have the same, and share it.
 */
export type PodTemplate = string;

const templates = new InternPool<PodTemplate>();

/** Annotations that are read: ours, and what consul-k8s is told. Their values are few. */
const keptAnnotations = [
  "hygeia.dev/set",
  "hygeia.dev/ignore",
  "consul.hashicorp.com/connect-inject",
  "consul.hashicorp.com/connect-inject-status",
  "consul.hashicorp.com/transparent-proxy",
  "consul.hashicorp.com/consul-dns",
] as const;
/** Its value is another for every pod, and not read. */
const mirrorAnnotation = "kubernetes.io/config.mirror";
const keptLabel = "hygeia.dev/admission";

const keptFields = [
  "hostNetwork",
  "hostUsers",
  "os",
  "nodeSelector",
  "runtimeClassName",
  "dnsPolicy",
  "dnsConfig",
  "terminationGracePeriodSeconds",
] as const;

type Json = Readonly<Record<string, unknown>>;

/** @param raw a Pod, parsed from JSON; what is not of the form the API gives it is kept as it is, or left out */
export function templateOf(raw: unknown): PodTemplate {
  const pod = objectOf(raw);
  const metadata = objectOf(pod["metadata"]);
  const spec = objectOf(pod["spec"]);
  const annotations = objectOf(metadata["annotations"]);
  const labels = pick(objectOf(metadata["labels"]), [keptLabel]);
  const kept = pick(annotations, keptAnnotations);
  const mirror = annotations[mirrorAnnotation] === undefined ? {} : { [mirrorAnnotation]: "" };
  const sysctls = objectOf(spec["securityContext"])["sysctls"];
  const initContainers = containersOf(spec["initContainers"]);
  const text = JSON.stringify({
    metadata: { ...ifAny("labels", labels), ...ifAny("annotations", { ...kept, ...mirror }) },
    spec: {
      ...pick(spec, keptFields),
      ...affinityOf(spec["affinity"]),
      ...(sysctls === undefined ? {} : { securityContext: { sysctls } }),
      containers: containersOf(spec["containers"]),
      ...ifAny("initContainers", initContainers),
    },
  });
  return templates.get(text, () => text);
}

/** What of it may keep a pod off nodes, but for names of nodes: a DaemonSet's pods have another one each. */
function affinityOf(value: unknown): Json {
  const required = objectOf(
    objectOf(objectOf(value)["nodeAffinity"])["requiredDuringSchedulingIgnoredDuringExecution"],
  );
  const terms = listOf(required["nodeSelectorTerms"]).map((term) => pick(objectOf(term), ["matchExpressions"]));
  if (terms.length === 0) return {};
  const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
  return { affinity: { nodeAffinity } };
}

function containersOf(value: unknown): Json[] {
  return (Array.isArray(value) ? value : []).map((item: unknown) => {
    const container = objectOf(item);
    const lifecycle = container["lifecycle"];
    const env = listOf(container["env"]).filter((variable) => objectOf(variable)["name"] === "GODEBUG");
    return {
      name: container["name"],
      // Empty lists say as much as absent ones: they are left out, and with them the variables of others.
      ...(env.length === 0 ? {} : { env: env.map(variableOf) }),
      ...(listOf(container["envFrom"]).length === 0 ? {} : { envFrom: [{}] }),
      ...(lifecycle === undefined ? {} : { lifecycle: lifecycleOf(objectOf(lifecycle)) }),
    };
  });
}

function variableOf(variable: unknown): Json {
  const { valueFrom, ...own } = objectOf(variable);
  return valueFrom === undefined ? own : { ...own, valueFrom: {} };
}

function lifecycleOf({ preStop }: Json): Json {
  return preStop === undefined ? {} : { preStop: pick(objectOf(preStop), ["sleep"]) };
}

function ifAny(name: string, value: object): Json {
  return Object.keys(value).length === 0 ? {} : { [name]: value };
}

function pick(object: Json, keys: readonly string[]): Json {
  return Object.fromEntries(keys.flatMap((key) => (object[key] === undefined ? [] : [[key, object[key]]])));
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

import { type PodPart, podParts, type PodPolicy, type Site, type SkipReason } from "../../src/admission/types.ts";

/** A Pod as a client sends it, that any API server accepts. */
export interface PodManifest {
  readonly apiVersion: "v1";
  readonly kind: "Pod";
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>> & { readonly containers: readonly ContainerManifest[] };
}

interface ContainerManifest {
  readonly name: string;
  readonly image: string;
  readonly [field: string]: unknown;
}

/** What becomes of one pod under one policy. */
export interface AdmissionCase {
  readonly pod: PodManifest;
  readonly policy: PodPolicy;
  readonly site: Site;
  /** The pod afterwards, without the annotations that tell of it. */
  readonly expected: PodManifest;
  readonly skipped: readonly (readonly [PodPart, SkipReason])[];
}

export const SITE: Site = {
  namespace: "shop",
  namespaceLabels: { "kubernetes.io/metadata.name": "shop" },
  serverMinor: 36,
  clusterNameservers: ["10.96.0.10"],
  sysctlObstacle: undefined,
  engineObjection: undefined,
};

const NOTHING: PodPolicy = {
  name: "shop",
  generation: 3,
  dns: undefined,
  goResolver: undefined,
  sysctls: undefined,
  gracePeriod: undefined,
  preStopSleep: undefined,
};

type Dns = NonNullable<PodPolicy["dns"]>;

/** A policy that wants this of the DNS of its pods. */
export function dnsPolicy(dns: Partial<Dns>): PodPolicy {
  const rule: Dns = { options: [], searches: [], replacesSearches: false, nameservers: [], overrides: false, ...dns };
  return { ...NOTHING, dns: rule };
}

const ndots = (value: string) => ({ name: "ndots", value });
const NDOTS_2 = dnsPolicy({ options: [ndots("2")] });
const REOPEN = { name: "single-request-reopen", value: undefined };
const TIMEOUT_1 = { name: "timeout", value: "1" };

const SYSCTLS = [
  { name: "net.ipv4.tcp_keepalive_time", value: "600" },
  { name: "net.ipv4.tcp_keepalive_intvl", value: "30" },
  { name: "net.ipv4.tcp_keepalive_probes", value: "3" },
];
export const KEEPALIVE: PodPolicy = { ...NOTHING, sysctls: SYSCTLS };
const GO: PodPolicy = { ...NOTHING, goResolver: { netdns: "go", containers: ["app"] } };
const ALL: PodPolicy = { ...NDOTS_2, goResolver: GO.goResolver, sysctls: SYSCTLS, gracePeriod: 60, preStopSleep: 5 };

function app(fields: Readonly<Record<string, unknown>> = {}, name = "app"): ContainerManifest {
  return { name, image: "registry.example/app:1", ...fields };
}

function pod(spec: Readonly<Record<string, unknown>> = {}, metadata: PodManifest["metadata"] = {}): PodManifest {
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [app()], ...spec } };
}

const dnsConfig = (config: Readonly<Record<string, unknown>>) => ({ dnsConfig: config });
const sysctls = (...list: readonly { readonly name: string; readonly value: string }[]) => ({
  securityContext: { sysctls: list },
});
const sleep = (seconds: number) => ({ lifecycle: { preStop: { sleep: { seconds } } } });
const HOOK = { lifecycle: { preStop: { exec: { command: ["/bin/drain"] } } } };
const godebug = (value: string) => ({ env: [{ name: "GODEBUG", value }] });
const domains = (count: number, suffix = "example") => Array.from({ length: count }, (_, i) => `d${i}.${suffix}`);
const enforcing = (level: string, version?: string): Site => ({
  ...SITE,
  namespaceLabels: {
    ...SITE.namespaceLabels,
    "pod-security.kubernetes.io/enforce": level,
    ...(version === undefined ? {} : { "pod-security.kubernetes.io/enforce-version": version }),
  },
});
const consul = (annotations: Readonly<Record<string, string>>) => ({
  annotations: Object.fromEntries(
    Object.entries(annotations).map(([name, value]) => [`consul.hashicorp.com/${name}`, value]),
  ),
});

type Row = Pick<AdmissionCase, "pod" | "policy"> & Partial<AdmissionCase>;

/** An `expected` that is left out is the pod unchanged; a `site` that is left out has no obstacle. */
function row(row: Row): AdmissionCase {
  return { site: SITE, expected: row.pod, skipped: [], ...row };
}

const dnsCases = {
  "ndots is set where the pod has no dnsConfig": row({
    pod: pod(),
    policy: NDOTS_2,
    expected: pod(dnsConfig({ options: [ndots("2")] })),
  }),
  "options are added after those of the author": row({
    pod: pod(dnsConfig({ options: [{ name: "rotate" }] })),
    policy: dnsPolicy({ options: [ndots("2"), REOPEN] }),
    expected: pod(dnsConfig({ options: [{ name: "rotate" }, ndots("2"), { name: "single-request-reopen" }] })),
  }),
  "options are set where the author's dnsConfig has none": row({
    pod: pod(dnsConfig({ searches: ["corp.example"] })),
    policy: NDOTS_2,
    expected: pod(dnsConfig({ searches: ["corp.example"], options: [ndots("2")] })),
  }),
  "the author's ndots stays": row({
    pod: pod(dnsConfig({ options: [ndots("5")] })),
    policy: NDOTS_2,
    skipped: [["dns", "SetByAuthor"]],
  }),
  "the author's ndots stays and other options are added": row({
    pod: pod(dnsConfig({ options: [ndots("5")] })),
    policy: dnsPolicy({ options: [ndots("2"), TIMEOUT_1] }),
    expected: pod(dnsConfig({ options: [ndots("5"), TIMEOUT_1] })),
    skipped: [["dns", "SetByAuthor"]],
  }),
  "an author's ndots that is the policy's own is no conflict": row({
    pod: pod(dnsConfig({ options: [ndots("2")] })),
    policy: NDOTS_2,
  }),
  "the author's ndots is set anew where the policy overrides": row({
    pod: pod(dnsConfig({ options: [{ name: "rotate" }, ndots("5")] })),
    policy: dnsPolicy({ options: [ndots("2")], overrides: true }),
    expected: pod(dnsConfig({ options: [{ name: "rotate" }, ndots("2")] })),
  }),
  "search domains are added after the author's, none twice": row({
    pod: pod(dnsConfig({ searches: ["corp.example.", "b.example"] })),
    policy: dnsPolicy({ searches: ["corp.example", "c.example"] }),
    expected: pod(dnsConfig({ searches: ["corp.example.", "b.example", "c.example"] })),
  }),
  "name servers are added after the author's, none twice": row({
    pod: pod(dnsConfig({ nameservers: ["2001:DB8:0::1"] })),
    policy: dnsPolicy({ nameservers: ["2001:db8::1", "192.0.2.1"] }),
    expected: pod(dnsConfig({ nameservers: ["2001:DB8:0::1", "192.0.2.1"] })),
  }),
  "three name servers are allowed": row({
    pod: pod(dnsConfig({ nameservers: ["192.0.2.1"] })),
    policy: dnsPolicy({ nameservers: ["192.0.2.2", "192.0.2.3"] }),
    expected: pod(dnsConfig({ nameservers: ["192.0.2.1", "192.0.2.2", "192.0.2.3"] })),
  }),
  "four name servers would be refused, so nothing of the DNS is set": row({
    pod: pod(dnsConfig({ nameservers: ["192.0.2.1", "192.0.2.2"] })),
    policy: dnsPolicy({ options: [ndots("2")], nameservers: ["192.0.2.3", "192.0.2.4"] }),
    skipped: [["dns", "TooManyNameservers"]],
  }),
  "thirty-two search domains are allowed": row({
    pod: pod(dnsConfig({ searches: domains(20) })),
    policy: dnsPolicy({ searches: domains(12, "test") }),
    expected: pod(dnsConfig({ searches: [...domains(20), ...domains(12, "test")] })),
  }),
  "thirty-three search domains would be refused, so nothing of the DNS is set": row({
    pod: pod(dnsConfig({ searches: domains(20) })),
    policy: dnsPolicy({ options: [ndots("2")], searches: domains(13, "test") }),
    skipped: [["dns", "TooManySearches"]],
  }),
  "search domains of more than 2048 characters together would be refused": row({
    pod: pod(dnsConfig({ searches: domains(6, `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.example`) })),
    policy: dnsPolicy({ searches: domains(6, `${"d".repeat(60)}.${"e".repeat(60)}.${"f".repeat(60)}.example`) }),
    skipped: [["dns", "TooManySearches"]],
  }),
  "a search domain with an underscore is set where the server takes it": row({
    pod: pod(),
    policy: dnsPolicy({ searches: ["_tcp.example"] }),
    expected: pod(dnsConfig({ searches: ["_tcp.example"] })),
  }),
  "a search domain with an underscore is left out before Kubernetes 1.33": row({
    pod: pod(),
    policy: dnsPolicy({ searches: ["_tcp.example"] }),
    site: { ...SITE, serverMinor: 32 },
    skipped: [["dns", "SearchNotAccepted"]],
  }),
  "Replace gives the cluster's own name servers, and keeps ndots 5 where nobody says otherwise": row({
    pod: pod(),
    policy: dnsPolicy({ searches: ["svc.cluster.local"], replacesSearches: true }),
    expected: pod({
      dnsPolicy: "None",
      ...dnsConfig({ nameservers: ["10.96.0.10"], searches: ["svc.cluster.local"], options: [ndots("5")] }),
    }),
  }),
  "Replace keeps the author's search domains, options and name servers": row({
    pod: pod(dnsConfig({ nameservers: ["192.0.2.1"], searches: ["corp.example"], options: [ndots("3")] })),
    policy: dnsPolicy({ searches: ["svc.cluster.local"], replacesSearches: true }),
    expected: pod({
      dnsPolicy: "None",
      ...dnsConfig({
        nameservers: ["10.96.0.10", "192.0.2.1"],
        searches: ["corp.example", "svc.cluster.local"],
        options: [ndots("3")],
      }),
    }),
  }),
  "Replace takes the policy's name servers where it names some": row({
    pod: pod(),
    policy: dnsPolicy({
      options: [ndots("2")],
      searches: ["svc.cluster.local"],
      replacesSearches: true,
      nameservers: ["192.0.2.53", "192.0.2.54"],
    }),
    site: { ...SITE, clusterNameservers: undefined },
    expected: pod({
      dnsPolicy: "None",
      ...dnsConfig({
        nameservers: ["192.0.2.53", "192.0.2.54"],
        searches: ["svc.cluster.local"],
        options: [ndots("2")],
      }),
    }),
  }),
  "Replace is left out where the cluster's name servers are not known": row({
    pod: pod(),
    policy: dnsPolicy({ options: [ndots("2")], searches: ["svc.cluster.local"], replacesSearches: true }),
    site: { ...SITE, clusterNameservers: undefined },
    skipped: [["dns", "ClusterDNSUnknown"]],
  }),
  "Replace with too many name servers is left out": row({
    pod: pod(dnsConfig({ nameservers: ["192.0.2.1", "192.0.2.2", "192.0.2.3"] })),
    policy: dnsPolicy({ searches: ["svc.cluster.local"], replacesSearches: true }),
    skipped: [["dns", "TooManyNameservers"]],
  }),
  "a pod on the host network has the node's resolver": row({
    pod: pod({ hostNetwork: true }),
    policy: dnsPolicy({ options: [ndots("2")], overrides: true }),
    skipped: [["dns", "HostNetwork"]],
  }),
  "a pod on the host network that uses the cluster's DNS is as any other": row({
    pod: pod({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }),
    policy: NDOTS_2,
    expected: pod({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet", ...dnsConfig({ options: [ndots("2")] }) }),
  }),
  "dnsPolicy Default is the author's choice of another resolver": row({
    pod: pod({ dnsPolicy: "Default" }),
    policy: NDOTS_2,
    skipped: [["dns", "SetByAuthor"]],
  }),
  "dnsPolicy Default takes the options where the policy overrides": row({
    pod: pod({ dnsPolicy: "Default" }),
    policy: dnsPolicy({ options: [ndots("2")], overrides: true }),
    expected: pod({ dnsPolicy: "Default", ...dnsConfig({ options: [ndots("2")] }) }),
  }),
  "dnsPolicy Default does not become None": row({
    pod: pod({ dnsPolicy: "Default" }),
    policy: dnsPolicy({ options: [TIMEOUT_1], searches: ["a.example"], replacesSearches: true, overrides: true }),
    expected: pod({ dnsPolicy: "Default", ...dnsConfig({ options: [TIMEOUT_1] }) }),
    skipped: [["dns", "SetByAuthor"]],
  }),
  "dnsPolicy None is the author's choice of another resolver": row({
    pod: pod({ dnsPolicy: "None", ...dnsConfig({ nameservers: ["192.0.2.1"] }) }),
    policy: dnsPolicy({ options: [ndots("2")], searches: ["svc.cluster.local"], replacesSearches: true }),
    skipped: [["dns", "SetByAuthor"]],
  }),
  "dnsPolicy None with all that Replace asks for obeys": row({
    pod: pod({
      dnsPolicy: "None",
      ...dnsConfig({ nameservers: ["10.96.0.10"], searches: ["svc.cluster.local"], options: [ndots("2")] }),
    }),
    policy: dnsPolicy({ options: [ndots("2")], searches: ["svc.cluster.local"], replacesSearches: true }),
  }),
  "consul-k8s may set the DNS of a pod that it is to inject": row({
    pod: pod({}, consul({ "connect-inject": "true" })),
    policy: NDOTS_2,
    skipped: [["dns", "ConflictingInjection"]],
  }),
  "consul-k8s sets no DNS without its transparent proxy": row({
    pod: pod({}, consul({ "connect-inject": "true", "transparent-proxy": "false" })),
    policy: NDOTS_2,
    expected: pod(
      dnsConfig({ options: [ndots("2")] }),
      consul({ "connect-inject": "true", "transparent-proxy": "false" }),
    ),
  }),
  "consul-k8s sets no DNS where the namespace turns that off": row({
    pod: pod({}, consul({ "connect-inject": "true" })),
    policy: NDOTS_2,
    site: { ...SITE, namespaceLabels: { ...SITE.namespaceLabels, "consul.hashicorp.com/consul-dns": "false" } },
    expected: pod(dnsConfig({ options: [ndots("2")] }), consul({ "connect-inject": "true" })),
  }),
  "the word of a pod on consul-k8s goes before its namespace's": row({
    pod: pod({}, consul({ "connect-inject": "true", "consul-dns": "true" })),
    policy: NDOTS_2,
    site: { ...SITE, namespaceLabels: { ...SITE.namespaceLabels, "consul.hashicorp.com/consul-dns": "false" } },
    skipped: [["dns", "ConflictingInjection"]],
  }),
  "what consul-k8s has injected already is no conflict": row({
    pod: pod({}, consul({ "connect-inject": "true", "connect-inject-status": "injected" })),
    policy: NDOTS_2,
    expected: pod(
      dnsConfig({ options: [ndots("2")] }),
      consul({ "connect-inject": "true", "connect-inject-status": "injected" }),
    ),
  }),
} satisfies Record<string, AdmissionCase>;

const keepaliveCases = {
  "the sysctls are set where the pod has no security context": row({
    pod: pod(),
    policy: KEEPALIVE,
    expected: pod(sysctls(...SYSCTLS)),
  }),
  "the sysctls are set where the security context has none": row({
    pod: pod({ securityContext: { runAsNonRoot: true } }),
    policy: KEEPALIVE,
    expected: pod({ securityContext: { runAsNonRoot: true, sysctls: SYSCTLS } }),
  }),
  "the sysctls are added after the author's": row({
    pod: pod(sysctls({ name: "net.ipv4.ip_local_port_range", value: "1024 65535" })),
    policy: KEEPALIVE,
    expected: pod(sysctls({ name: "net.ipv4.ip_local_port_range", value: "1024 65535" }, ...SYSCTLS)),
  }),
  "one sysctl by the author leaves out all": row({
    pod: pod(sysctls({ name: "net.ipv4.tcp_keepalive_intvl", value: "75" })),
    policy: KEEPALIVE,
    skipped: [["keepalive", "SetByAuthor"]],
  }),
  "one sysctl by the author leaves out all, though it has the policy's value": row({
    pod: pod(sysctls({ name: "net.ipv4.tcp_keepalive_intvl", value: "30" })),
    policy: KEEPALIVE,
    skipped: [["keepalive", "SetByAuthor"]],
  }),
  "a sysctl that its author wrote with slashes is the author's too": row({
    pod: pod(sysctls({ name: "net/ipv4/tcp_keepalive_time", value: "7200" })),
    policy: KEEPALIVE,
    skipped: [["keepalive", "SetByAuthor"]],
  }),
  "a pod whose author set the same sysctls obeys": row({
    pod: pod(sysctls(...SYSCTLS.toReversed())),
    policy: KEEPALIVE,
  }),
  "a pod on the host network would set the node's own sysctls": row({
    pod: pod({ hostNetwork: true }),
    policy: KEEPALIVE,
    skipped: [["keepalive", "HostNetwork"]],
  }),
  "the host's IPC has no part in net sysctls": row({
    pod: pod({ hostIPC: true }),
    policy: KEEPALIVE,
    expected: pod({ hostIPC: true, ...sysctls(...SYSCTLS) }),
  }),
  "Pod Security baseline of the server's own version allows them": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: enforcing("baseline"),
    expected: pod(sysctls(...SYSCTLS)),
  }),
  "Pod Security privileged of any version allows them": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: enforcing("privileged", "v1.24"),
    expected: pod(sysctls(...SYSCTLS)),
  }),
  "Pod Security baseline pinned to v1.29 allows them": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: enforcing("baseline", "v1.29"),
    expected: pod(sysctls(...SYSCTLS)),
  }),
  "Pod Security baseline pinned to v1.28 refuses them": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: enforcing("baseline", "v1.28"),
    skipped: [["keepalive", "PodSecurity"]],
  }),
  "Pod Security baseline of an older server refuses them": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...enforcing("baseline", "latest"), serverMinor: 28 },
    skipped: [["keepalive", "PodSecurity"]],
  }),
  "a version of Pod Security that is newer than the server is the server's": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...enforcing("restricted", "v1.40"), serverMinor: 28 },
    skipped: [["keepalive", "PodSecurity"]],
  }),
  "a node that is too old could get the pod and fail it": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, sysctlObstacle: { reason: "NodeTooOld", message: "node n1 has kubelet v1.28.3" } },
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "without known nodes no sysctl is set": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, sysctlObstacle: { reason: "NodesUnknown", message: "no node is known" } },
    skipped: [["keepalive", "NodesUnknown"]],
  }),
  "a runtime class may not set sysctls": row({
    pod: pod({ runtimeClassName: "kata" }),
    policy: KEEPALIVE,
    skipped: [["keepalive", "RuntimeClass"]],
  }),
  "in a user namespace sysctls may not be settable": row({
    pod: pod({ hostUsers: false }),
    policy: KEEPALIVE,
    skipped: [["keepalive", "UserNamespace"]],
  }),
  "a policy engine that refuses them is obeyed": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, engineObjection: "sysctls are not allowed" },
    skipped: [["keepalive", "PolicyEngine"]],
  }),
} satisfies Record<string, AdmissionCase>;

const goCases = {
  "GODEBUG is set where the container has no variables": row({
    pod: pod(),
    policy: GO,
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "GODEBUG is added after the author's variables": row({
    pod: pod({ containers: [app({ env: [{ name: "A", value: "1" }] })] }),
    policy: GO,
    expected: pod({
      containers: [
        app({
          env: [
            { name: "A", value: "1" },
            { name: "GODEBUG", value: "netdns=go" },
          ],
        }),
      ],
    }),
  }),
  "netdns is added to what GODEBUG holds": row({
    pod: pod({ containers: [app(godebug("http2client=0,madvdontneed=1"))] }),
    policy: GO,
    expected: pod({ containers: [app(godebug("http2client=0,madvdontneed=1,netdns=go"))] }),
  }),
  "an empty GODEBUG is filled": row({
    pod: pod({ containers: [app(godebug(""))] }),
    policy: GO,
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "the author's netdns stays": row({
    pod: pod({ containers: [app(godebug("http2client=0,netdns=cgo+2"))] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "of two netdns in GODEBUG the last counts": row({
    pod: pod({ containers: [app(godebug("netdns=cgo,netdns=go"))] }),
    policy: GO,
  }),
  "of two variables GODEBUG the last counts": row({
    pod: pod({ containers: [app({ env: [...godebug("netdns=cgo").env, ...godebug("gctrace=1").env] })] }),
    policy: GO,
    expected: pod({
      containers: [app({ env: [...godebug("netdns=cgo").env, ...godebug("gctrace=1,netdns=go").env] })],
    }),
  }),
  "a GODEBUG from elsewhere stays": row({
    pod: pod({
      containers: [
        app({ env: [{ name: "GODEBUG", valueFrom: { configMapKeyRef: { name: "settings", key: "godebug" } } }] }),
      ],
    }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "a GODEBUG made of other variables stays": row({
    pod: pod({ containers: [app(godebug("$(EXTRA)"))] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "a GODEBUG that envFrom may bring is not hidden": row({
    pod: pod({ containers: [app({ envFrom: [{ configMapRef: { name: "settings" } }] })] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "init containers and sidecars are found by name, and others are left alone": row({
    pod: pod({
      initContainers: [app({}, "migrate"), app({ restartPolicy: "Always" }, "agent")],
      containers: [app(), app({}, "web")],
    }),
    policy: { ...GO, goResolver: { netdns: "cgo", containers: ["migrate", "agent", "web"] } },
    expected: pod({
      initContainers: [
        app(godebug("netdns=cgo"), "migrate"),
        app({ restartPolicy: "Always", ...godebug("netdns=cgo") }, "agent"),
      ],
      containers: [app(), app(godebug("netdns=cgo"), "web")],
    }),
  }),
  "a pod that has only some of the containers gets it there": row({
    pod: pod(),
    policy: { ...GO, goResolver: { netdns: "go", containers: ["worker", "app"] } },
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "a pod without any of the containers is left alone": row({
    pod: pod(),
    policy: { ...GO, goResolver: { netdns: "go", containers: ["worker"] } },
    skipped: [["goResolver", "NoSuchContainer"]],
  }),
} satisfies Record<string, AdmissionCase>;

const lifecycleCases = {
  "the default grace period is raised": row({
    pod: pod(),
    policy: { ...NOTHING, gracePeriod: 60 },
    expected: pod({ terminationGracePeriodSeconds: 60 }),
  }),
  "a shorter grace period is raised": row({
    pod: pod({ terminationGracePeriodSeconds: 5 }),
    policy: { ...NOTHING, gracePeriod: 20 },
    expected: pod({ terminationGracePeriodSeconds: 20 }),
  }),
  "a longer grace period stays": row({
    pod: pod({ terminationGracePeriodSeconds: 600 }),
    policy: { ...NOTHING, gracePeriod: 60 },
  }),
  "the default grace period is not lowered": row({ pod: pod(), policy: { ...NOTHING, gracePeriod: 20 } }),
  "containers without a preStop hook sleep, those with one keep it": row({
    pod: pod({ containers: [app(), app(HOOK, "web")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({ containers: [app(sleep(5)), app(HOOK, "web")] }),
  }),
  "a postStart hook stays beside the sleep": row({
    pod: pod({ containers: [app({ lifecycle: { postStart: { exec: { command: ["/bin/warm"] } } } })] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({
      containers: [
        app({ lifecycle: { postStart: { exec: { command: ["/bin/warm"] } }, preStop: { sleep: { seconds: 5 } } } }),
      ],
    }),
  }),
  "the author's preStop hooks stay": row({
    pod: pod({ containers: [app(HOOK), app(sleep(9), "web")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    skipped: [["preStop", "SetByAuthor"]],
  }),
  "sidecars end after the others and need no sleep": row({
    pod: pod({ initContainers: [app({ restartPolicy: "Always" }, "agent")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({
      initContainers: [app({ restartPolicy: "Always" }, "agent")],
      containers: [app(sleep(5))],
    }),
  }),
  "a sleep as long as the grace period is left out": row({
    pod: pod(),
    policy: { ...NOTHING, preStopSleep: 30 },
    skipped: [["preStop", "GracePeriodTooShort"]],
  }),
  "a sleep may be as long as the raised grace period allows": row({
    pod: pod(),
    policy: { ...NOTHING, gracePeriod: 60, preStopSleep: 45 },
    expected: pod({ terminationGracePeriodSeconds: 60, containers: [app(sleep(45))] }),
  }),
  "the sleep action is not known before Kubernetes 1.30": row({
    pod: pod(),
    policy: { ...NOTHING, preStopSleep: 5 },
    site: { ...SITE, serverMinor: 29 },
    skipped: [["preStop", "SleepActionUnknown"]],
  }),
} satisfies Record<string, AdmissionCase>;

const wholeCases = {
  "all parts at once": row({
    pod: pod(),
    policy: ALL,
    expected: pod({
      ...dnsConfig({ options: [ndots("2")] }),
      ...sysctls(...SYSCTLS),
      terminationGracePeriodSeconds: 60,
      containers: [app({ ...godebug("netdns=go"), ...sleep(5) })],
    }),
  }),
  "a part that is left out keeps no other from being set": row({
    pod: pod({ hostNetwork: true }),
    policy: ALL,
    expected: pod({
      hostNetwork: true,
      terminationGracePeriodSeconds: 60,
      containers: [app({ ...godebug("netdns=go"), ...sleep(5) })],
    }),
    skipped: [
      ["dns", "HostNetwork"],
      ["keepalive", "HostNetwork"],
    ],
  }),
  "a pod whose os is windows is left alone": row({
    pod: pod({ os: { name: "windows" } }),
    policy: ALL,
    skipped: podParts.map((part) => [part, "WindowsPod"]),
  }),
  "a pod that selects Windows nodes is left alone": row({
    pod: pod({ nodeSelector: { "kubernetes.io/os": "windows" } }),
    policy: KEEPALIVE,
    skipped: [["keepalive", "WindowsPod"]],
  }),
  "a pod that every policy is to ignore is left alone": row({
    pod: pod({}, { annotations: { "hygeia.dev/ignore": "true" } }),
    policy: KEEPALIVE,
    skipped: [["keepalive", "OptedOut"]],
  }),
  "a pod that is opted out is left alone": row({
    pod: pod({}, { labels: { "hygeia.dev/admission": "Disabled" } }),
    policy: ALL,
    skipped: podParts.map((part) => [part, "OptedOut"]),
  }),
} satisfies Record<string, AdmissionCase>;

/**
 * What is done to a pod, each case under a sentence. Whatever changes pods by a policy must agree with this table. The
 * namespaces of `site` are all one: who runs the cases on a server gives each a namespace with the labels of its site.
 */
export const admissionCases: Readonly<Record<string, AdmissionCase>> = {
  ...dnsCases,
  ...keepaliveCases,
  ...goCases,
  ...lifecycleCases,
  ...wholeCases,
};

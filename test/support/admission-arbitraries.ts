import fc from "fast-check";

import type { PodPolicy, Site } from "../../src/admission/types.ts";

const optionNames = ["ndots", "timeout", "rotate", "single-request-reopen"] as const;
const sysctlNames = [
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_keepalive_intvl",
  "net/ipv4/tcp_keepalive_probes",
  "net.ipv4.ip_local_port_range",
] as const;
const containerNames = ["app", "web", "agent"] as const;

/** Enough that a pod's own and a policy's come to more than a pod may have. */
const nameserver = fc.constantFrom("10.96.0.10", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:DB8:0::1");
const domains = ["a.example", "svc.cluster.local", "_tcp.example", "d".repeat(200)] as const;
const domain = fc.constantFrom(...domains, "a.example.", "A.example.");
const number = fc.integer({ min: 1, max: 9 }).map(String);
const option = fc.record({ name: fc.constantFrom(...optionNames), value: number }, { requiredKeys: ["name"] });
const annotation = fc.dictionary(
  fc.constantFrom(
    "a",
    "hygeia.dev/applied",
    "hygeia.dev/skipped",
    "hygeia.dev/set",
    "consul.hashicorp.com/connect-inject",
    "consul.hashicorp.com/transparent-proxy",
  ),
  fc.constantFrom(
    "",
    "true",
    "false",
    "shop@2",
    "ndots=2,preStop=5",
    "=,x,dnsPolicy=None,netdns=go",
    "dns=HostNetwork",
  ),
);

const variable = fc.oneof(
  fc.record({ name: fc.constant("A"), value: fc.constant("1") }),
  fc.record({
    name: fc.constant("GODEBUG"),
    value: fc.constantFrom("", "netdns=go", "a=1,netdns=cgo", "netdns=1,netdns=go", "http2client=0", "$(X)"),
  }),
  fc.constant({ name: "GODEBUG", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }),
);

const container = fc.record(
  {
    name: fc.constantFrom(...containerNames),
    image: fc.constant("app"),
    env: fc.array(variable, { maxLength: 3 }),
    envFrom: fc.constantFrom([], [{ configMapRef: { name: "settings" } }]),
    lifecycle: fc.constantFrom<object>(
      {},
      { preStop: { exec: { command: ["true"] } } },
      { preStop: { sleep: { seconds: 5 } } },
      { postStart: { exec: { command: ["true"] } } },
    ),
  },
  { requiredKeys: ["name", "image"] },
);

const nodeKey = fc.constantFrom("pool", "zone", "kubernetes.io/hostname", "disk");
const nodeRequirement = fc.oneof(
  fc.record({
    key: nodeKey,
    operator: fc.constantFrom("In", "NotIn"),
    values: fc.uniqueArray(fc.constantFrom("new", "old", "a"), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key: nodeKey, operator: fc.constantFrom("Exists", "DoesNotExist") }),
  fc.record({ key: nodeKey, operator: fc.constant("Gt"), values: fc.constant(["3"]) }),
);

const spec = fc.record(
  {
    containers: fc.uniqueArray(container, { minLength: 1, maxLength: 3, selector: ({ name }) => name }),
    initContainers: fc.uniqueArray(container, { maxLength: 2, selector: ({ name }) => name }),
    hostNetwork: fc.boolean(),
    hostUsers: fc.boolean(),
    os: fc.constantFrom({ name: "linux" }, { name: "windows" }),
    nodeSelector: fc.constantFrom<object>({}, { "kubernetes.io/os": "linux" }, { pool: "new" }, { pool: "old" }),
    affinity: fc
      .array(fc.record({ matchExpressions: fc.array(nodeRequirement, { minLength: 1, maxLength: 2 }) }), {
        minLength: 1,
        maxLength: 2,
      })
      .map((nodeSelectorTerms) => ({
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
      })),
    runtimeClassName: fc.constantFrom("", "kata"),
    dnsPolicy: fc.constantFrom("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    dnsConfig: fc.record(
      {
        nameservers: fc.uniqueArray(nameserver, { maxLength: 3 }),
        searches: fc.uniqueArray(domain, { maxLength: 5 }),
        options: fc.array(option, { maxLength: 3 }),
      },
      { requiredKeys: [] },
    ),
    securityContext: fc.record(
      {
        runAsNonRoot: fc.boolean(),
        sysctls: fc.uniqueArray(fc.record({ name: fc.constantFrom(...sysctlNames), value: number }), {
          maxLength: 3,
          selector: ({ name }) => name,
        }),
      },
      { requiredKeys: [] },
    ),
    terminationGracePeriodSeconds: fc.integer({ min: 0, max: 90 }),
  },
  { requiredKeys: ["containers"] },
);

/** Pods of the form the Kubernetes API gives them, with what admission reads in many combinations. */
export const arbitraryPod = fc
  .record({
    metadata: fc.record(
      { annotations: annotation, labels: fc.dictionary(fc.constantFrom("app"), fc.constantFrom("shop", "web")) },
      { requiredKeys: [] },
    ),
    spec,
  })
  // In JSON no two places share an object.
  .map((pod) => JSON.parse(JSON.stringify(pod)) as typeof pod);

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

/** Options as a policy may have them: numbers have a value, switches none. */
const policyOption = fc.oneof(
  fc.record({ name: fc.constantFrom("ndots", "timeout"), value: number }),
  fc.record({ name: fc.constantFrom("rotate", "single-request-reopen"), value: fc.constant(undefined) }),
);

/** What the schema of a RegistrationPolicy lets through, compiled. */
export const arbitraryPolicy: fc.Arbitrary<PodPolicy> = fc.record({
  name: fc.constantFrom("shop", "web"),
  generation: fc.integer({ min: 1, max: 3 }),
  dns: maybe(
    fc
      .record({
        options: fc.uniqueArray(policyOption, { maxLength: 3, selector: ({ name }) => name }),
        searches: fc.uniqueArray(fc.constantFrom(...domains)),
        replacesSearches: fc.boolean(),
        nameservers: fc.uniqueArray(nameserver, { maxLength: 3 }),
        overrides: fc.boolean(),
      })
      .filter(({ options, searches, nameservers }) => options.length + searches.length + nameservers.length > 0)
      .map((dns) => ({ ...dns, replacesSearches: dns.replacesSearches && dns.searches.length > 0 })),
  ),
  goResolver: maybe(
    fc.record({
      netdns: fc.constantFrom("go", "cgo"),
      containers: fc.uniqueArray(fc.constantFrom(...containerNames), { minLength: 1 }),
    }),
  ),
  sysctls: maybe(
    fc.tuple(number, number).map(([time, interval]) => [
      { name: "net.ipv4.tcp_keepalive_time", value: time },
      { name: "net.ipv4.tcp_keepalive_intvl", value: interval },
      { name: "net.ipv4.tcp_keepalive_probes", value: "3" },
    ]),
  ),
  gracePeriod: maybe(fc.integer({ min: 1, max: 90 })),
  preStopSleep: maybe(fc.integer({ min: 1, max: 60 })),
});

export const arbitrarySite: fc.Arbitrary<Site> = fc.record({
  namespace: fc.constant("shop"),
  namespaceLabels: fc.dictionary(
    fc.constantFrom("pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/enforce-version"),
    fc.constantFrom("baseline", "privileged", "v1.28", "v1.30", "latest"),
  ),
  serverMinor: fc.integer({ min: 27, max: 37 }),
  clusterNameservers: maybe(fc.constantFrom<readonly string[]>(["10.96.0.10"], ["10.96.0.10", "2001:db8::1"], [])),
  sysctlObstacle: maybe(
    fc.record({
      reason: fc.constant("NodeTooOld"),
      message: fc.constant("node n1 has kubelet v1.28.3"),
      nodeLabels: maybe(
        fc
          .dictionary(
            nodeKey,
            fc.record({
              values: maybe(fc.uniqueArray(fc.constantFrom("old", "older", "a"), { minLength: 1 })),
              onAll: fc.boolean(),
            }),
          )
          .map((labels) => new Map(Object.entries(labels))),
      ),
    }),
  ),
  engineObjection: maybe(fc.constant("no sysctls")),
});

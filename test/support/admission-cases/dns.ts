import {
  type AdmissionCase,
  NDOTS_2,
  REOPEN,
  SITE,
  TIMEOUT_1,
  consul,
  dnsConfig,
  dnsPolicy,
  domains,
  ndots,
  pod,
  row,
} from "./case.ts";

export const dnsCases = {
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

import type { Site } from "../../../src/admission/types.ts";
import { type AdmissionCase, KEEPALIVE, SITE, SYSCTLS, enforcing, RESTRICTED, pod, row, sysctls } from "./case.ts";

/** Where the nodes of one pool are too old. */
const OLD_POOL: Site = {
  ...SITE,
  sysctlObstacle: {
    reason: "NodeTooOld",
    message: "node n1 has kubelet v1.28.3",
    nodeLabels: new Map([
      ["kubernetes.io/hostname", { values: undefined, onAll: true }],
      ["kubernetes.io/os", { values: ["linux"], onAll: true }],
      ["pool", { values: ["old"], onAll: true }],
      ["spot", { values: ["false", "true"], onAll: false }],
    ]),
  },
};

const requirement = (key: string, operator: string, ...values: string[]): object => ({
  key,
  operator,
  ...(values.length === 0 ? {} : { values }),
});

/** Terms of a required node affinity. */
function affinity(...terms: object[][]): Readonly<Record<string, unknown>> {
  const nodeSelectorTerms = terms.map((matchExpressions) => ({ matchExpressions }));
  return { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } } };
}

export const keepaliveCases = {
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
    site: { ...enforcing("baseline", "v1.40"), serverMinor: 28 },
    skipped: [["keepalive", "PodSecurity"]],
  }),
  "Pod Security restricted is as strict with them as baseline": row({
    pod: pod(RESTRICTED),
    policy: KEEPALIVE,
    site: enforcing("restricted", "v1.28"),
    skipped: [["keepalive", "PodSecurity"]],
  }),
  "the labels of a new namespace are not known yet": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, sysctlObstacle: { reason: "NamespaceUnknown", message: "it is new" } },
    skipped: [["keepalive", "NamespaceUnknown"]],
    byPolicy: { expected: pod(sysctls(...SYSCTLS)), skipped: [] },
  }),
  "nodes may be others by now": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, sysctlObstacle: { reason: "ViewNotFresh", message: "the watch is silent" } },
    skipped: [["keepalive", "ViewNotFresh"]],
    byPolicy: { expected: pod(sysctls(...SYSCTLS)), skipped: [] },
  }),
  "a node that is too old could get the pod and fail it": row({
    pod: pod(),
    policy: KEEPALIVE,
    site: { ...SITE, sysctlObstacle: { reason: "NodeTooOld", message: "node n1 has kubelet v1.28.3" } },
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a pod that its node selector keeps off the nodes that are too old has them": row({
    pod: pod({ nodeSelector: { pool: "new" } }),
    policy: KEEPALIVE,
    site: OLD_POOL,
    expected: pod({ nodeSelector: { pool: "new" }, ...sysctls(...SYSCTLS) }),
  }),
  "a pod that its node selector sends to the nodes that are too old has none": row({
    pod: pod({ nodeSelector: { pool: "old" } }),
    policy: KEEPALIVE,
    site: OLD_POOL,
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a pod that asks for nothing but Linux could come to the nodes that are too old": row({
    pod: pod({ nodeSelector: { "kubernetes.io/os": "linux" } }),
    policy: KEEPALIVE,
    site: OLD_POOL,
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a pod whose affinity keeps it off the nodes that are too old has them": row({
    pod: pod(affinity([requirement("pool", "NotIn", "old")], [requirement("disk", "Exists")])),
    policy: KEEPALIVE,
    site: OLD_POOL,
    expected: pod({
      ...affinity([requirement("pool", "NotIn", "old")], [requirement("disk", "Exists")]),
      ...sysctls(...SYSCTLS),
    }),
  }),
  "a pod with one term of its affinity that the nodes meet has none": row({
    pod: pod(affinity([requirement("pool", "NotIn", "old")], [requirement("kubernetes.io/os", "Exists")])),
    policy: KEEPALIVE,
    site: OLD_POOL,
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a pod whose affinity asks for another pool or for none has them": row({
    pod: pod(affinity([requirement("pool", "In", "new", "newest")], [requirement("pool", "DoesNotExist")])),
    policy: KEEPALIVE,
    site: OLD_POOL,
    expected: pod({
      ...affinity([requirement("pool", "In", "new", "newest")], [requirement("pool", "DoesNotExist")]),
      ...sysctls(...SYSCTLS),
    }),
  }),
  "an affinity that some or all of the nodes may meet keeps a pod off none of them": row({
    pod: pod(
      affinity([
        requirement("spot", "NotIn", "false", "true"),
        requirement("spot", "DoesNotExist"),
        requirement("spot", "Exists"),
        requirement("pool", "NotIn", "new"),
        requirement("pool", "In", "new", "old"),
        requirement("kubernetes.io/hostname", "In", "n99"),
        requirement("kubernetes.io/hostname", "NotIn", "n1"),
        requirement("cores", "Gt", "8"),
      ]),
    ),
    policy: KEEPALIVE,
    site: OLD_POOL,
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a pod that only prefers other nodes has none": row({
    pod: pod({
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, preference: { matchExpressions: [requirement("pool", "In", "new")] } },
          ],
        },
      },
    }),
    policy: KEEPALIVE,
    site: OLD_POOL,
    skipped: [["keepalive", "NodeTooOld"]],
  }),
  "a label with too many values on the nodes that are too old tells no pod apart": row({
    pod: pod({ nodeSelector: { "kubernetes.io/hostname": "n99" } }),
    policy: KEEPALIVE,
    site: OLD_POOL,
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

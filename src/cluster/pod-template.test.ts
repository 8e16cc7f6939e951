import { describe, expect, it } from "vitest";

import { templateOf } from "./pod-template.ts";

const container = (name: string, fields: object = {}) => ({ name, image: "x", resources: {}, ...fields });

describe("the template of a pod", () => {
  it("leaves out what no policy asks about", () => {
    const raw = {
      metadata: {
        name: "web-1",
        uid: "u",
        labels: { app: "web", "hygeia.dev/admission": "Disabled" },
        annotations: { checksum: "1234", "hygeia.dev/set": "ndots=2", "kubernetes.io/config.mirror": "abcd" },
      },
      spec: {
        nodeName: "n1",
        dnsPolicy: "ClusterFirst",
        dnsConfig: { options: [{ name: "ndots", value: "2" }] },
        securityContext: { runAsUser: 7, sysctls: [{ name: "a.b", value: "1" }] },
        terminationGracePeriodSeconds: 30,
        containers: [
          container("app", {
            env: [
              { name: "PASSWORD", value: "secret" },
              { name: "GODEBUG", value: "netdns=go" },
              { name: "GODEBUG", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
            ],
            envFrom: [{ secretRef: { name: "s" } }],
            lifecycle: { preStop: { exec: { command: ["/bin/drain", "--token=secret"] } } },
          }),
          container("web", { env: [{ name: "A", value: "1" }], lifecycle: { preStop: { sleep: { seconds: 5 } } } }),
        ],
      },
      status: { phase: "Running" },
    };
    expect(JSON.parse(templateOf(raw))).toEqual({
      metadata: {
        labels: { "hygeia.dev/admission": "Disabled" },
        annotations: { "hygeia.dev/set": "ndots=2", "kubernetes.io/config.mirror": "" },
      },
      spec: {
        dnsPolicy: "ClusterFirst",
        dnsConfig: { options: [{ name: "ndots", value: "2" }] },
        terminationGracePeriodSeconds: 30,
        securityContext: { sysctls: [{ name: "a.b", value: "1" }] },
        containers: [
          {
            name: "app",
            env: [
              { name: "GODEBUG", value: "netdns=go" },
              { name: "GODEBUG", valueFrom: {} },
            ],
            envFrom: [{}],
            lifecycle: { preStop: {} },
          },
          { name: "web", lifecycle: { preStop: { sleep: { seconds: 5 } } } },
        ],
      },
    });
  });

  it("keeps what may keep the pod off nodes, but for the names of nodes", () => {
    const preferred = [{ weight: 1, preference: {} }];
    const of = (node: string) => {
      const pool = [{ key: "pool", operator: "In", values: ["new"] }];
      const matchFields = [{ key: "metadata.name", operator: "In", values: [node] }];
      const terms = [{ matchExpressions: pool, matchFields }, { matchFields }];
      const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
      const nodeAffinity = { ...required, preferredDuringSchedulingIgnoredDuringExecution: preferred };
      return templateOf({ spec: { containers: [], affinity: { nodeAffinity, podAntiAffinity: {} } } });
    };
    expect(JSON.parse(of("n1"))).toMatchObject({
      spec: {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: "pool", operator: "In", values: ["new"] }] }, {}],
            },
          },
        },
      },
    });
    expect(of("n1")).not.toContain("preferred");
    expect(of("n1")).toBe(of("n2"));
  });

  it("is one for all pods of a workload", () => {
    const pod = (name: string) => ({ metadata: { name, uid: name }, spec: { containers: [container("app")] } });
    expect(templateOf(pod("a"))).toBe(templateOf(pod("b")));
  });

  it.each([[null], [7], [{}], [{ metadata: [], spec: { containers: {} } }]])("can be had of %j", (odd) => {
    expect(() => templateOf(odd)).not.toThrow();
  });
});

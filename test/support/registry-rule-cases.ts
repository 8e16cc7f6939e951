import { consul, etcd, HTTPS, nacos, registry } from "./crd-objects.ts";
import type { RuleCase } from "./crd-rule-case.ts";

/** What an absent prefix stands for, as the rules have it. */
export const DEFAULT_PREFIXES = {
  GoMicro: "/micro/registry",
  Kratos: "/microservices",
  DubboInterface: "/dubbo",
  DubboApplication: "/services",
  Kitex: "kitex/registry-etcd",
  GoFrame: "/service",
} as const;

/** The rules of a Registry, by what they demand. */
export const REGISTRY_RULES: Readonly<Record<string, RuleCase>> = {
  "an endpoint is scheme, host and port, nothing else": {
    message: "spec.endpoints must hold addresses as scheme://host:port",
    field: "spec.endpoints[0]",
    accepted: ["http://etcd:2379", "https://10.0.0.7:1", "https://[fd00::7]:65535"].map((e) =>
      registry({ endpoints: [e] }),
    ),
    refused: [
      "http://etcd.infra.svc",
      "http://user:secret@etcd:2379",
      "http://etcd:2379/",
      "http://etcd:2379?x=1",
      "http://etcd:2379#x",
      "http://etcd:0000",
      "http://etcd:65536",
      "http://[fd00::7:2379",
    ].map((e) => registry({ endpoints: [e] })),
  },
  "endpoints share one scheme": {
    message: "spec.endpoints must all use the same scheme",
    field: "spec",
    accepted: [registry({ endpoints: ["http://etcd-0:2379", "http://etcd-1:2379"] })],
    refused: [registry({ endpoints: ["http://etcd-0:2379", "https://etcd-1:2379"] })],
  },
  "TLS settings need https": {
    message: "spec.tls needs https endpoints",
    field: "spec",
    accepted: [registry({ ...HTTPS, tls: { serverName: "etcd" } })],
    refused: [registry({ tls: { serverName: "etcd" } })],
  },
  "the block of the registry's type is there": {
    message: "spec.etcd must be set when spec.type is Etcd",
    field: "spec",
    accepted: [registry()],
    refused: [registry({ etcd: undefined })],
  },
  "the block of Consul is there for Consul alone": {
    message: "spec.consul must be set when spec.type is Consul",
    field: "spec",
    accepted: [
      consul(),
      consul({
        datacenter: "dc-1",
        servicePrefixes: ["shop-"],
        tokenSecretRef: { name: "consul" },
        recordPrefix: "a/b",
      }),
    ],
    refused: [registry({ type: "Consul", etcd: undefined }), registry({ consul: {} })],
  },
  "the block of Nacos is there for Nacos alone": {
    message: "spec.nacos must be set when spec.type is Nacos",
    field: "spec",
    accepted: [
      nacos(),
      nacos({ namespace: "3ac1-b", groups: ["DEFAULT_GROUP", "shop:a.b"], servicePrefixes: ["shop-"] }),
      nacos({}, { credentials: { secretRef: { name: "login" } } }),
    ],
    refused: [registry({ type: "Nacos", etcd: undefined }), registry({ nacos: {} }), consul({}, { nacos: {} })],
  },
  "Consul knows tokens, and no passwords": {
    message: "spec.credentials can not be used when spec.type is Consul",
    field: "spec",
    accepted: [consul({ tokenSecretRef: { name: "consul", key: "secret" } })],
    refused: [consul({}, { credentials: { secretRef: { name: "login" } } })],
  },
  "a name for agents needs their port": {
    message: "spec.consul.agentServerName needs spec.consul.agentPort",
    field: "spec.consul.agentServerName",
    accepted: [consul({ agentPort: 8501, agentServerName: "client.dc1.consul" }, HTTPS)],
    refused: [consul({ agentServerName: "client.dc1.consul" }, HTTPS)],
  },
  "a token goes to agents over TLS only": {
    message: "spec.consul.agentPort needs https endpoints",
    field: "spec",
    accepted: [consul({ agentPort: 8501 }, HTTPS)],
    refused: [consul({ agentPort: 8500 })],
  },
  "the prefix of a layout without default is given": {
    message: "prefix must be set for the layouts GoZero and EtcdNaming",
    field: "spec.etcd.layouts[0].prefix",
    accepted: [
      etcd({ layouts: [{ layout: "GoZero", prefix: "user.rpc" }] }),
      etcd({ layouts: [{ layout: "EtcdNaming", prefix: "foo/bar/my-service" }] }),
      etcd({ layouts: Object.keys(DEFAULT_PREFIXES).map((layout) => ({ layout })) }),
    ],
    refused: [etcd({ layouts: [{ layout: "GoZero" }] }), etcd({ layouts: [{ layout: "EtcdNaming" }] })],
  },
  "two layouts do not share a prefix, defaults counted": {
    message: "spec.etcd.layouts must not hold one prefix twice",
    field: "spec.etcd.layouts",
    accepted: [
      etcd({
        layouts: [
          { layout: "GoZero", prefix: "user.rpc" },
          { layout: "GoZero", prefix: "user.rpc2" },
        ],
      }),
    ],
    refused: [
      etcd({ layouts: [{ layout: "Kratos" }, { layout: "Kratos" }] }),
      etcd({
        layouts: [
          { layout: "GoZero", prefix: "user.rpc" },
          { layout: "EtcdNaming", prefix: "user.rpc" },
        ],
      }),
      ...Object.entries(DEFAULT_PREFIXES).map(([layout, prefix]) =>
        etcd({ layouts: [{ layout }, { layout: "EtcdNaming", prefix }] }),
      ),
    ],
  },
  "our own records do not lie where a framework looks": {
    message: "spec.etcd.recordPrefix must not lie inside the prefix of a layout",
    field: "spec.etcd.recordPrefix",
    accepted: [etcd({ recordPrefix: "/microservices-undo" }), etcd({ recordPrefix: "/ops/hygeia" })],
    refused: [
      etcd({ recordPrefix: "/microservices/undo" }),
      etcd({ recordPrefix: "user.rpc/undo", layouts: [{ layout: "GoZero", prefix: "user.rpc" }] }),
    ],
  },
  "no framework writes where our own records lie": {
    message: "spec.etcd.recordPrefix must not hold the prefix of a layout",
    field: "spec.etcd.recordPrefix",
    accepted: [etcd({ recordPrefix: "/micro" })],
    refused: [etcd({ recordPrefix: "/ops", layouts: [{ layout: "EtcdNaming", prefix: "/ops/services" }] })],
  },
  "pod networks are networks": {
    message: "spec.ownership.podCIDRs must hold networks with their length",
    field: "spec.ownership.podCIDRs[0]",
    accepted: [
      registry({ ownership: { podCIDRs: ["Auto"] } }),
      registry({ ownership: { podCIDRs: ["10.42.0.0/16", "fd00:10::/56"] } }),
    ],
    refused: ["10.42.0.0", "10.42.0.0/33", "auto", "300.0.0.0/8"].map((c) =>
      registry({ ownership: { podCIDRs: [c] } }),
    ),
  },
  "Auto stands alone": {
    message: "spec.ownership.podCIDRs must be Auto alone or networks alone",
    field: "spec.ownership.podCIDRs",
    accepted: [registry({ ownership: { podCIDRs: ["10.42.0.0/16", "10.43.0.0/16"] } })],
    refused: [registry({ ownership: { podCIDRs: ["Auto", "10.42.0.0/16"] } })],
  },
  "slow is a time that can pass": {
    message: "spec.breaker.slowAfter must be a duration from 1ms to 1m",
    field: "spec.breaker.slowAfter",
    accepted: ["1ms", "200ms", "1s500ms"].map((slowAfter) => registry({ breaker: { slowAfter } })),
    refused: ["0s", "2m", "200", "0.2s"].map((slowAfter) => registry({ breaker: { slowAfter } })),
  },
  "a request has a time to end in": {
    message: "spec.requestTimeout must be a duration from 100ms to 1m",
    field: "spec.requestTimeout",
    accepted: ["200ms", "3s", "1m"].map((requestTimeout) => registry({ requestTimeout })),
    refused: ["99ms", "61s", "3"].map((requestTimeout) => registry({ requestTimeout })),
  },
  "slow is noticed before the request is given up": {
    message: "spec.breaker.slowAfter must not be longer than spec.requestTimeout",
    field: "spec",
    accepted: [registry({ requestTimeout: "1s", breaker: { slowAfter: "1s" } })],
    refused: [registry({ requestTimeout: "1s", breaker: { slowAfter: "1001ms" } })],
  },
};

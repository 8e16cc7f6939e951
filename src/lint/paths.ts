import type { RegistrationPolicyPath } from "../api/v1alpha1/index.ts";

/** A product's documented default for a connection on which nothing moves. Its owner may have set another. */
interface Preset {
  readonly idleTimeoutSeconds: number;
  /** Whether a keepalive probe counts as traffic there; in layer 7 only data does. */
  readonly tcpKeepalive: "Counts" | "Ignored";
  /** Where the figure stands. */
  readonly source: string;
  /** When it stood there, year and month. */
  readonly date: string;
}

/** Every preset of the CRD. docs/pods.md shows them with the ranges they can be set in. */
export const PRESETS = {
  AlibabaCLB: {
    idleTimeoutSeconds: 900,
    tcpKeepalive: "Counts",
    source: "Server Load Balancer API, CreateLoadBalancerTCPListener, EstablishedTimeout",
    date: "2026-11",
  },
  AlibabaNLB: {
    idleTimeoutSeconds: 900,
    tcpKeepalive: "Counts",
    source: "Network Load Balancer API, CreateListener, IdleTimeout",
    date: "2026-11",
  },
  TencentCLB: {
    idleTimeoutSeconds: 900,
    tcpKeepalive: "Counts",
    source: "Cloud Load Balancer API, CreateListener, IdleConnectTimeout",
    date: "2026-11",
  },
  AWSALB: {
    idleTimeoutSeconds: 60,
    tcpKeepalive: "Ignored",
    source: "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
    date: "2026-11",
  },
  AWSNLB: {
    idleTimeoutSeconds: 350,
    tcpKeepalive: "Counts",
    source: "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html",
    date: "2026-11",
  },
  AzureLoadBalancer: {
    idleTimeoutSeconds: 240,
    tcpKeepalive: "Counts",
    source: "https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset",
    date: "2026-11",
  },
  GCPConntrack: {
    idleTimeoutSeconds: 600,
    tcpKeepalive: "Counts",
    source: "https://cloud.google.com/compute/docs/troubleshooting/general-tips",
    date: "2026-11",
  },
  HuaweiELB: {
    idleTimeoutSeconds: 300,
    tcpKeepalive: "Counts",
    source: "https://support.huaweicloud.com/intl/en-us/usermanual-elb/elb_ug_jt_0014.html",
    date: "2026-11",
  },
  IPVS: {
    idleTimeoutSeconds: 900,
    tcpKeepalive: "Counts",
    source: "Linux IPVS, `ipvsadm -l --timeout`; kube-proxy --ipvs-tcp-timeout",
    date: "2026-11",
  },
  OCINLB: {
    idleTimeoutSeconds: 360,
    tcpKeepalive: "Counts",
    source:
      "https://docs.oracle.com/en-us/iaas/Content/NetworkLoadBalancer/NetworkLoadBalancers/configure-idle-timeout.htm",
    date: "2026-11",
  },
} as const satisfies Record<NonNullable<RegistrationPolicyPath["preset"]>, Preset>;

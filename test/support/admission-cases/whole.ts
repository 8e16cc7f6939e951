import { podParts } from "../../../src/admission/types.ts";
import {
  type AdmissionCase,
  ALL,
  KEEPALIVE,
  SYSCTLS,
  app,
  dnsConfig,
  godebug,
  ndots,
  pod,
  row,
  sleep,
  sysctls,
} from "./case.ts";

export const wholeCases = {
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

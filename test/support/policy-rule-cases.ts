import { object, policy } from "./crd-objects.ts";
import type { RuleCase } from "./crd-rule-case.ts";
import { POD_RULES } from "./pod-rule-cases.ts";

/** The rules of a RegistrationPolicy, by what they demand. */
export const POLICY_RULES: Readonly<Record<string, RuleCase>> = {
  "a label selector's keys are label names": {
    message: "matchLabels must have label names as keys",
    field: "spec.match.podSelector.matchLabels",
    accepted: [policy({}, { match: { podSelector: { matchLabels: { "app.kubernetes.io/name": "shop", team: "" } } } })],
    refused: ["a b", "/name", "-a", "a/b/c"].map((key) =>
      policy({}, { match: { podSelector: { matchLabels: { [key]: "x" } } } }),
    ),
  },
  "a requirement has values exactly when its operator needs them": {
    message: "values must be set for the operators In and NotIn",
    field: "spec.match.namespaceSelector.matchExpressions[0].values",
    accepted: [
      { key: "team", operator: "In", values: ["shop"] },
      { key: "team", operator: "Exists" },
    ].map((requirement) => policy({}, { match: { namespaceSelector: { matchExpressions: [requirement] } } })),
    refused: [
      { key: "team", operator: "In" },
      { key: "team", operator: "NotIn", values: [] },
      { key: "team", operator: "Exists", values: ["shop"] },
      { key: "team", operator: "DoesNotExist", values: ["shop"] },
    ].map((requirement) => policy({}, { match: { namespaceSelector: { matchExpressions: [requirement] } } })),
  },
  "a policy is about something": {
    message: "spec must have at least one of registration, dns, keepalive and lifecycle",
    field: "spec",
    accepted: [
      policy(),
      ...[
        { dns: { ndots: 2 } },
        { keepalive: { time: "60s", interval: "10s", probes: 3 } },
        { lifecycle: { preStopSleepSeconds: 5 } },
      ].map((spec) => object("RegistrationPolicy", "main", { spec })),
    ],
    refused: [{}, { mode: "Enforce", priority: 3 }].map((spec) => object("RegistrationPolicy", "main", { spec })),
  },
  "a policy has a primary registry": {
    message: "spec.registration.registries must hold at least one registry with role Primary",
    field: "spec.registration.registries",
    accepted: [policy({ registries: [{ name: "main" }, { name: "old", role: "Backup" }] })],
    refused: [policy({ registries: [{ name: "old", role: "Backup" }] })],
  },
  "the service name comes from one place": {
    message: "spec.registration.service must have key and no value",
    field: "spec.registration.service",
    accepted: [
      policy({ service: { from: "Label", key: "app.kubernetes.io/name" } }),
      policy({ service: { from: "Annotation", key: "hygeia.dev/service" } }),
      policy({ service: { from: "Fixed", value: "greeter" } }),
    ],
    refused: [
      { from: "Label" },
      { from: "Annotation", value: "greeter" },
      { from: "Label", key: "app", value: "greeter" },
      { from: "Fixed", key: "app" },
      { from: "Fixed" },
      { from: "Fixed", key: "app", value: "greeter" },
    ].map((service) => policy({ service })),
  },
  "a port is a number or a name of a container port": {
    message: "spec.registration.service.port must be a number from 1 to 65535 or the name",
    field: "spec.registration.service.port",
    accepted: [1, 65535, "grpc", "http-2"].map((port) => policy({ service: { from: "Fixed", value: "a", port } })),
    refused: [0, 65536, "8080", "GRPC", "-a", "a-very-long-port-name"].map((port) =>
      policy({ service: { from: "Fixed", value: "a", port } }),
    ),
  },
  "absence is believed after two lists at the earliest": {
    message: "spec.registration.zombies.absentFor must be a duration from 30s to 24h",
    field: "spec.registration.zombies.absentFor",
    accepted: ["30s", "2m", "24h"].map((absentFor) => policy({ zombies: { absentFor } })),
    refused: ["29s999ms", "24h1ms", "2 minutes", "120"].map((absentFor) => policy({ zombies: { absentFor } })),
  },
  "silence is believed after some time": {
    message: "spec.registration.zombies.silentFor must be a duration from 5s to 24h",
    field: "spec.registration.zombies.silentFor",
    accepted: ["5s", "30s", "24h"].map((silentFor) => policy({ zombies: { silentFor } })),
    refused: ["4s", "25h", "long"].map((silentFor) => policy({ zombies: { silentFor } })),
  },
  ...Object.fromEntries(
    Object.entries(POD_RULES).map(([sentence, { accepted, refused, ...rule }]): [string, RuleCase] => [
      sentence,
      { ...rule, accepted: accepted.map((spec) => policy({}, spec)), refused: refused.map((spec) => policy({}, spec)) },
    ]),
  ),
};

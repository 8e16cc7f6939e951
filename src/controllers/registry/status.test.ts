import { describe, expect, test } from "vitest";

import type { RegistryFreshness } from "../../registry/port.ts";
import { registryEvents } from "./events.ts";
import { registryConditions, registryProblem, registryReadiness, type RegistryFacts } from "./status.ts";
import { conditionChanges, conditionStatus } from "../status/conditions.ts";
import { REGISTRY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";

const fresh: RegistryFreshness = {
  synced: true,
  caughtUpTo: 99_000,
  problem: undefined,
  mode: "Normal",
  serverVersion: "3.6.8",
  clusterId: "c",
};
const nothing: RegistryFreshness = { ...fresh, synced: false, caughtUpTo: Number.NEGATIVE_INFINITY };

type Part = Partial<Omit<RegistryFacts, "freshness" | "tls">> & {
  readonly freshness?: Partial<RegistryFreshness>;
  readonly tls?: Partial<RegistryFacts["tls"]>;
};

function facts(part: Part = {}): RegistryFacts {
  return {
    specProblems: undefined,
    problem: undefined,
    isRunning: true,
    freshForMs: 15_000,
    now: 100_000,
    ...part,
    freshness: { ...fresh, ...part.freshness },
    tls: { isUsed: false, hasLooked: false, finding: undefined, ...part.tls },
  };
}

/** `type: status reason` of each condition. */
function brief(part: Part): Record<string, string> {
  return Object.fromEntries(
    registryConditions(facts(part)).map(({ type, reason }) => [
      type,
      `${conditionStatus(REGISTRY_CONDITIONS, type, reason)} ${reason}`,
    ]),
  );
}

const good = { Ready: "True Ready", Reachable: "True Answering", Synced: "True Current", TLSHealthy: "True NotUsed" };
const trouble = (reason: string) => ({ reason, message: `because of ${reason}` });

describe("the conditions of a registry", () => {
  const table: Record<string, { facts: Part; conditions: Record<string, string> }> = {
    "are all well when it answers and its view is current": { facts: {}, conditions: good },
    "are not known before the first answer": {
      facts: { freshness: nothing },
      conditions: { Ready: "Unknown Starting", Reachable: "Unknown Connecting", Synced: "Unknown NotSynced" },
    },
    "say that it answers while its content is not known yet": {
      facts: { freshness: { ...fresh, caughtUpTo: Number.NEGATIVE_INFINITY } },
      conditions: { Ready: "Unknown Starting", Reachable: "True Answering", Synced: "Unknown NotSynced" },
    },
    "say that it can not be reached, and that it never was read": {
      facts: { freshness: { ...nothing, problem: trouble("Unreachable") } },
      conditions: { Ready: "False NotReachable", Reachable: "False Unreachable", Synced: "Unknown NotSynced" },
    },
    "say that it can no longer be reached, and that the view is kept": {
      facts: { freshness: { problem: trouble("Unreachable") } },
      conditions: { Ready: "False NotReachable", Reachable: "False Unreachable", Synced: "False Disconnected" },
    },
    "say that the login is refused": {
      facts: { freshness: { ...nothing, problem: trouble("Unauthenticated") } },
      conditions: { Ready: "False NotReachable", Reachable: "False Unauthenticated", Synced: "Unknown NotSynced" },
    },
    "say that what answers is not understood, whatever the adapter calls it": {
      facts: { freshness: { ...nothing, problem: trouble("SomethingOfLater") } },
      conditions: { Reachable: "False NotUnderstood" },
    },
    "say that the data went back, of a registry that answers": {
      facts: { freshness: { problem: trouble("WentBack") } },
      conditions: { Ready: "False NotSynced", Reachable: "True Answering", Synced: "False WentBack" },
    },
    "say that the servers disagree, of a registry that answers": {
      facts: { freshness: { problem: trouble("SplitView") } },
      conditions: { Ready: "False NotSynced", Reachable: "True Answering", Synced: "False SplitView" },
    },
    "name a server that does not answer while enough others do, and stay well": {
      facts: { freshness: { absence: "http://a does not answer", defect: "upgrade it" } },
      conditions: { ...good, Reachable: "True PartlyAnswering" },
    },
    "name a defect of the server's version, and stay well": {
      facts: { freshness: { defect: "upgrade it" } },
      conditions: { ...good, Reachable: "True KnownDefect" },
    },
    "say that the view is too old": {
      facts: { freshness: { caughtUpTo: 84_999 } },
      conditions: { Ready: "False NotSynced", Reachable: "True Answering", Synced: "False Stale" },
    },
    "accept a view exactly as old as it may be": { facts: { freshness: { caughtUpTo: 85_000 } }, conditions: good },
    "say that the breaker is open": {
      facts: { freshness: { mode: "Fallback" } },
      conditions: { Ready: "False Fallback" },
    },
    "say that the spec is not understood, and nothing else matters": {
      facts: {
        specProblems: [{ field: "spec.endpoints", message: "must be set" }],
        isRunning: false,
        freshness: nothing,
      },
      conditions: { Ready: "False InvalidSpec", Reachable: "False InvalidSpec", Synced: "Unknown NotSynced" },
    },
    "say that a Secret is missing": {
      facts: { problem: { reason: "SecretNotFound", message: "m" }, isRunning: false, freshness: nothing },
      conditions: { Ready: "False NotReachable", Reachable: "False SecretNotFound", Synced: "Unknown NotSynced" },
    },
    "stay well while it works with credentials whose Secret is gone, and say so": {
      facts: { problem: { reason: "SecretNotFound", message: "m" } },
      conditions: { ...good, Ready: "True CredentialsOutdated" },
    },
    "say that TLS was not looked at yet": {
      facts: { tls: { isUsed: true } },
      conditions: { TLSHealthy: "Unknown NotChecked" },
    },
    "say that certificates are well": {
      facts: { tls: { isUsed: true, hasLooked: true } },
      conditions: { TLSHealthy: "True Valid" },
    },
    "say what a look at the certificates found, while all works": {
      facts: { tls: { isUsed: true, hasLooked: true, finding: { reason: "ExpiresSoon", message: "m" } } },
      conditions: { Ready: "True Ready", TLSHealthy: "False ExpiresSoon" },
    },
    "say that no TLS connection is made although a look found nothing": {
      facts: { tls: { isUsed: true, hasLooked: true }, freshness: { problem: trouble("TLSFailed") } },
      conditions: { Reachable: "False TLSFailed", TLSHealthy: "False HandshakeFailed" },
    },
  };
  for (const [sentence, { facts: part, conditions }] of Object.entries(table)) {
    test(sentence, () => expect(brief(part)).toMatchObject(conditions));
  }

  test("name the field of a spec that is not understood, in Ready too", () => {
    const specProblems = [
      { field: "spec.endpoints[0]", message: "must be a string" },
      { field: "spec.type", message: "must be one of Etcd" },
    ];
    expect(registryReadiness(facts({ specProblems }))).toEqual({
      status: "False",
      message: "spec.endpoints[0]: must be a string; spec.type: must be one of Etcd",
    });
  });

  test("pass on what the adapter says", () => {
    const { message } = registryReadiness(facts({ freshness: { problem: trouble("TimedOut") } }));
    expect(message).toBe("TimedOut: because of TimedOut");
  });
});

describe("the problem of a registry", () => {
  const table: Record<string, { facts: Part; reason: string | undefined }> = {
    "is none when all is well": { facts: {}, reason: undefined },
    "is none before the first answer": { facts: { freshness: nothing }, reason: undefined },
    "is none while it works with credentials read before": {
      facts: { problem: { reason: "SecretNotFound", message: "m" } },
      reason: undefined,
    },
    "is why it can not be reached, also where the view is kept": {
      facts: { freshness: { problem: trouble("Unreachable") } },
      reason: "Unreachable",
    },
    "is the Secret that is missing": {
      facts: { problem: { reason: "SecretNotFound", message: "m" }, isRunning: false, freshness: nothing },
      reason: "SecretNotFound",
    },
    "is why its content is not known, of one that answers": {
      facts: { freshness: { problem: trouble("FilteredByACLs") } },
      reason: "FilteredByACLs",
    },
    "is none of many words, whatever the adapter calls it": {
      facts: { freshness: { problem: trouble("SomethingOfLater") } },
      reason: "NotUnderstood",
    },
  };
  for (const [sentence, { facts: part, reason }] of Object.entries(table)) {
    test(sentence, () => expect(registryProblem(facts(part))).toBe(reason));
  }
});

describe("the Events of a registry", () => {
  const regarding = { apiVersion: "hygeia.dev/v1alpha1", kind: "Registry", name: "main", uid: "u" };
  const tls = (reason: "ExpiresSoon" | "Expired" | "NotTrusted"): Part => ({
    tls: { isUsed: true, hasLooked: true, finding: { reason, message: "m" } },
  });
  const table: Record<string, { before: Part | undefined; after: Part; reasons: string[] }> = {
    "are none at first when all is well": { before: undefined, after: {}, reasons: [] },
    "are none when nothing is new": { before: {}, after: {}, reasons: [] },
    "tell that it can not be reached": {
      before: {},
      after: { freshness: { problem: trouble("Unreachable") } },
      reasons: ["RegistryUnreachable"],
    },
    "tell it at the very first look": {
      before: undefined,
      after: { freshness: { ...nothing, problem: trouble("Unauthenticated") } },
      reasons: ["RegistryUnauthenticated"],
    },
    "tell that it answers again": {
      before: { freshness: { problem: trouble("Unreachable") } },
      after: {},
      reasons: ["RegistryReachable"],
    },
    "do not call the first answer a return": { before: { freshness: nothing }, after: {}, reasons: [] },
    "tell that a token does not see all, of a registry that answers": {
      before: {},
      after: { freshness: { problem: trouble("FilteredByACLs") } },
      reasons: ["RegistryFilteredByACLs"],
    },
    "tell that the view is too old": {
      before: {},
      after: { freshness: { caughtUpTo: 84_999 } },
      reasons: ["RegistryStale"],
    },
    "tell of data that went back elsewhere, since that is over in a moment": {
      before: {},
      after: { freshness: { problem: trouble("WentBack") } },
      reasons: [],
    },
    "tell that the breaker opened": {
      before: {},
      after: { freshness: { mode: "Fallback" } },
      reasons: ["RegistryFallback"],
    },
    "tell that a Secret is missing": {
      before: undefined,
      after: { problem: { reason: "SecretNotFound", message: "m" }, isRunning: false, freshness: nothing },
      reasons: ["RegistrySecretNotFound"],
    },
    "tell that old credentials stay in use": {
      before: {},
      after: { problem: { reason: "SecretNotFound", message: "m" } },
      reasons: ["RegistryCredentialsOutdated"],
    },
    "tell that a certificate expires soon": { before: {}, after: tls("ExpiresSoon"), reasons: ["CertificateExpiring"] },
    "tell that a certificate has expired": {
      before: tls("ExpiresSoon"),
      after: tls("Expired"),
      reasons: ["CertificateExpired"],
    },
    "tell that a certificate is not trusted": { before: {}, after: tls("NotTrusted"), reasons: ["TLSFailed"] },
  };
  for (const [sentence, { before, after, reasons }] of Object.entries(table)) {
    test(sentence, () => {
      const said =
        before &&
        registryConditions(facts(before)).map((text) => ({
          ...text,
          status: conditionStatus(REGISTRY_CONDITIONS, text.type, text.reason),
        }));
      const changes = conditionChanges(said, registryConditions(facts(after)), REGISTRY_CONDITIONS);
      expect(registryEvents(regarding, changes).map(({ reason }) => reason)).toEqual(reasons);
    });
  }
});

import { describe, expect, it } from "vitest";

import { dead, living, NOW, pod, type Scene, SEEN } from "../../test/support/judging.ts";
import { absentForLong, check, leased, stale, summaryOf, verdictOf } from "../../test/support/verdict-table.ts";
import type { Evidence } from "./types.ts";

describe("views", () => {
  check({
    "a stale cluster view decides nothing, even about a confirmed death": {
      clusterProblem: stale,
      tombstones: [dead("a")],
      is: "Unknown ClusterViewNotFresh",
    },
    "a stale cluster view does not even call a record foreign": {
      clusterProblem: stale,
      at: ["172.16.0.1:80"],
      is: "Unknown ClusterViewNotFresh",
    },
    "a registry that was never read decides nothing": {
      registry: { synced: false },
      tombstones: [dead("a")],
      is: "Unknown RegistryViewNotFresh",
    },
    "a registry with a problem decides nothing": {
      registry: { problem: { reason: "WentBack", message: "the revision went back" } },
      tombstones: [dead("a")],
      is: "Unknown RegistryViewNotFresh",
    },
    "a registry in fallback mode decides nothing": {
      registry: { mode: "Fallback" },
      tombstones: [dead("a")],
      is: "Unknown RegistryViewNotFresh",
    },
    "a registry view of 15 s is fresh": {
      registry: { caughtUpTo: NOW - 15_000 },
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
    "a registry view of more than 15 s is not": {
      registry: { caughtUpTo: NOW - 15_001 },
      tombstones: [dead("a")],
      is: "Unknown RegistryViewNotFresh",
    },
  });
});

describe("ownership", () => {
  check({
    "another controller's entry is foreign, dead or not": {
      record: { managedBy: "consul-k8s" },
      tombstones: [dead("a")],
      is: "Foreign ManagedElsewhere",
    },
    "an entry without the metadata that ours carry is foreign, even at a pod's address": {
      rules: { requiredMetadata: { cluster: "prod-1" } },
      tombstones: [dead("a")],
      is: "Foreign MetadataDiffers",
    },
    "an entry with another cluster's metadata is foreign": {
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { metadata: { cluster: "prod-2" } },
      live: [living("a")],
      is: "Foreign MetadataDiffers",
    },
    "an entry with our metadata is ours": {
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { metadata: { cluster: "prod-1" } },
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
    "an address in no pod network is foreign": { at: ["172.16.0.1:80"], is: "Foreign OutsidePodNetwork" },
    "an address in no pod network that was a pod's is ours": {
      at: ["172.16.0.1:80"],
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
    "explicit networks replace those of the nodes": {
      rules: { podCIDRs: ["10.99.0.0/16"] },
      is: "Foreign OutsidePodNetwork",
    },
    "an address in an explicit network is ours": {
      at: ["10.99.3.4:80"],
      rules: { podCIDRs: ["10.99.0.0/16"] },
      is: "Suspect NotAbsentLongEnough",
    },
    "a host name that can not be a pod's is foreign": { at: ["db.example.com:80"], is: "Foreign HostNameUnknown" },
    "a host name that no pod has or had is foreign": { at: ["web-0.web.shop:80"], is: "Foreign HostNameUnknown" },
    "a host name of a dead pod is ours": {
      at: ["web-0.web.shop:80"],
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
  });
});

describe("node addresses", () => {
  const at = ["192.168.0.1:9100"];
  const early = { endedAfter: SEEN + 1, seenAt: SEEN + 3_000 };
  check({
    "a port that no pod declares is unknown for ever": {
      at,
      memory: absentForLong,
      is: "Unknown PortNotDeclared",
    },
    "a port that two dead pods declared is unknown for ever": {
      at,
      tombstones: [dead("a"), dead("b")],
      is: "Unknown PortDeclaredTwice",
    },
    "a port that a pod declared which is younger than the record is nobody's": {
      at,
      tombstones: [dead("a", { createdAfter: SEEN + 1 })],
      is: "Unknown PortNotDeclared",
    },
    "a port that one dead pod declared which could have written it decides": {
      at,
      tombstones: [dead("a", early), dead("b", { ...early, createdAfter: SEEN + 1 })],
      is: "Zombie DeathConfirmed",
    },
    "a record that was not there before the pod's end may be anybody's on the node": {
      at,
      tombstones: [dead("a", { ...early, endedAfter: SEEN })],
      memory: absentForLong,
      is: "Unknown NobodyCanTell",
    },
    "a pod that lives and declares the port owns the record": { at, live: [living("a")], is: "Live OwnerLives" },
    "a younger pod of another service there takes nothing over, for the address is shared": {
      at,
      live: [living("b", { createdAfter: SEEN + 1 })],
      knows: { "shop/Deployment/b": ["orders"] },
      is: "Live AddressInUse",
    },
  });
});

describe("living pods", () => {
  const deleting = { deleting: true };
  check({
    "a pod at the address owns the record": { live: [living("a")], is: "Live OwnerLives" },
    "a pod at the address counts even when another is confirmed dead there": {
      live: [living("b")],
      tombstones: [dead("a")],
      is: "Live OwnerLives",
    },
    "a pod created when the record was seen may have written it": {
      live: [living("a", { createdAfter: SEEN })],
      knows: { "shop/Deployment/a": ["orders"] },
      is: "Live OwnerLives",
    },
    "a younger pod of the same service keeps the record": {
      live: [living("a", { createdAfter: SEEN + 1 })],
      knows: { "shop/Deployment/a": ["orders", "cart"] },
      is: "Live AddressInUse",
    },
    "a younger pod of a workload nobody knows anything of keeps the record": {
      live: [living("a", { createdAfter: SEEN + 1 })],
      is: "Live AddressInUse",
    },
    "a terminating pod drains": { live: [living("a", {}, deleting)], is: "Draining OwnerTerminating" },
    "a terminating pod beside a living one does not matter": {
      live: [living("a", {}, deleting), living("b")],
      is: "Live OwnerLives",
    },
    "what came back after we removed it is left alone for ever": {
      tombstones: [dead("a")],
      memory: { resurrected: true },
      is: "Resurrected CameBack",
    },
    "what came back is Live while a pod has the address": {
      live: [living("a")],
      memory: { resurrected: true },
      is: "Live OwnerLives",
    },
    "what came back does not drain": {
      live: [living("a", {}, deleting)],
      memory: { resurrected: true },
      is: "Resurrected CameBack",
    },
  });

  const terminating = (scene: Scene): Evidence | undefined =>
    verdictOf({ live: [living("a", {}, deleting)], ...scene }).evidence;

  it("a terminating pod is evidence when nobody else can have written the record", () => {
    expect(terminating({})).toEqual({
      class: "Terminating",
      podUid: "uid-a",
      podNamespace: "shop",
      podName: "a",
      since: NOW,
      needsConfirmRead: true,
    });
  });

  const noEvidence: Readonly<Record<string, Scene>> = {
    "a newborn without an address could have written it": { hiddenSince: SEEN },
    "the view has not caught up with the record": { caughtUpTo: SEEN },
    "the terminating pod is younger than the record": { live: [living("a", { createdAfter: SEEN + 1 }, deleting)] },
    "another pod that could have written it died unconfirmed": { tombstones: [dead("b", { reason: "NotConfirmed" })] },
    "the record was written after it was asked to end": { live: [living("a", { deletingAfter: SEEN - 1 }, deleting)] },
    "it was asked to end before anybody looked": { live: [living("a", { deletingAfter: -Infinity }, deleting)] },
    "the address is a node's": { at: ["192.168.0.1:80"] },
    "the record names a host, as which an earlier pod of that name may run on": { at: ["web-0.web.shop:80"] },
    "a pod of another service has the address already": {
      live: [living("a", {}, deleting), living("b", { createdAfter: SEEN + 1 })],
      knows: { "shop/Deployment/b": ["orders"] },
    },
  };
  for (const [sentence, scene] of Object.entries(noEvidence)) {
    it(`a terminating pod is no evidence when ${sentence}`, () => {
      expect(summaryOf({ live: [living("a", {}, deleting)], ...scene })).toBe("Draining OwnerTerminating");
      expect(terminating(scene)).toBeUndefined();
    });
  }
});

describe("the second witness", () => {
  const tombstones = [dead("a")];
  check({
    "a slice that is ready for a pod we do not know there stops everything": {
      tombstones,
      witnesses: [{ podUid: "uid-b", ready: true }],
      is: "Unknown WitnessDisagrees",
    },
    "a slice that is ready for nobody in particular stops everything": {
      tombstones,
      witnesses: [{ podUid: "", ready: true }],
      is: "Unknown WitnessDisagrees",
    },
    "a slice that lags behind the death does not matter": {
      tombstones,
      witnesses: [{ podUid: "uid-a", ready: true }],
      is: "Zombie DeathConfirmed",
    },
    "a slice that is not ready does not matter": {
      tombstones,
      witnesses: [{ podUid: "uid-b", ready: false }],
      is: "Zombie DeathConfirmed",
    },
    "a slice stops absence as well": {
      memory: absentForLong,
      witnesses: [{ podUid: "uid-b", ready: true }],
      is: "Unknown WitnessDisagrees",
    },
    "slices of a node's address are of every pod there, and no witness": {
      at: ["192.168.0.1:9100"],
      tombstones: [dead("a", { endedAfter: SEEN + 1 })],
      witnesses: [{ podUid: "uid-b", ready: true }],
      is: "Zombie DeathConfirmed",
    },
  });
});

describe("a record with several endpoints", () => {
  const at = ["10.42.0.7:80", "10.42.0.8:80"];
  const gone = { tombstones: [dead("a")] };
  const other = (second: NonNullable<Scene["only"]>[string], scene: Scene = {}): Scene => ({
    at,
    ...scene,
    only: { "10.42.0.7": gone, "10.42.0.8": second },
  });
  check({
    "is dead when all of them are": { ...other({ tombstones: [dead("b")] }), is: "Zombie DeathConfirmed" },
    "lives while one does": { ...other({ live: [living("b")] }), is: "Live OwnerLives" },
    "drains while one does": {
      ...other({ live: [living("b", {}, { deleting: true })] }),
      is: "Draining OwnerTerminating",
    },
    "waits while one does": { ...other({}), is: "Suspect NotAbsentLongEnough" },
    "is foreign when one is nobody's of us": {
      at: ["10.42.0.7:80", "172.16.0.1:80"],
      only: { "10.42.0.7": gone, "172.16.0.1": {} },
      is: "Foreign OutsidePodNetwork",
    },
    "is unknown when one is": {
      ...other({ tombstones: [dead("b", { reason: "NotConfirmed" }, { node: "node-2" })] }),
      is: "Unknown NodeUnreachable",
    },
  });

  it("rests on its weakest evidence", () => {
    const absent = verdictOf(other({}, { memory: absentForLong }));
    expect(absent).toMatchObject({ kind: "Zombie", evidence: { class: "Absent", needsConfirmRead: true } });
    expect(absent.evidence?.since).toBe(NOW - 1_000);
  });

  it("does not drain on evidence for one endpoint alone", () => {
    const terminating = [living("b", {}, { deleting: true })];
    expect(verdictOf(other({ live: terminating })).evidence?.class).toBe("Terminating");
    const unsure = verdictOf({ at, only: { "10.42.0.7": {}, "10.42.0.8": { live: terminating } } });
    expect(unsure).toMatchObject({ kind: "Draining", evidence: undefined });
  });

  it("asks for what any of them needs, when the first of them needs it", () => {
    const verdict = verdictOf({
      at,
      record: leased,
      only: {
        "10.42.0.7": { tombstones: [dead("a", { reason: "NotConfirmed" })] },
        "10.42.0.8": {},
      },
    });
    expect(verdict).toMatchObject({ needsLifeReading: true, needsCompleteList: true, reviewAfterMs: 120_000 });
  });
});

describe("messages", () => {
  it("say in one sentence which witness said what", () => {
    expect(verdictOf({ tombstones: [dead("a")] }).message).toBe(
      "pod shop/a ended (Finished), and nobody else can have registered it",
    );
    expect(verdictOf({ clusterProblem: stale }).message).toBe("pods are 16 s old");
    expect(verdictOf({ live: [{ pod: pod("b"), createdAfter: 0, seenAt: 0, deletingAfter: undefined }] }).message).toBe(
      "pod shop/b has the address",
    );
  });
});

import { describe, expect, it } from "vitest";

import { dead, inputOf, life, living, node, NOW, pod, type Scene, SEEN } from "../../test/support/judging.ts";
import { judge } from "./chain.ts";
import type { Evidence, InstanceMemory, LifeMemory, Verdict } from "./types.ts";

type Table = Readonly<Record<string, Scene & { readonly is: string }>>;

function verdictOf(scene: Scene): Verdict {
  return judge(inputOf(scene)).verdict;
}

function summary({ kind, reason }: Verdict): string {
  return `${kind} ${reason}`;
}

function check(table: Table): void {
  for (const [sentence, { is, ...scene }] of Object.entries(table)) {
    it(sentence, () => {
      expect(summary(verdictOf(scene))).toBe(is);
    });
  }
}

/** Suspect for two minutes and nine lists. */
const absentForLong = { suspectSince: NOW - 121_000, listsAtSuspect: 7 };
const leased = { ttlMs: 60_000 };
const stale = { reason: "Stale", message: "pods are 16 s old" };

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
      expect(summary(verdictOf({ live: [living("a", {}, deleting)], ...scene }))).toBe("Draining OwnerTerminating");
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

describe("confirmed death", () => {
  check({
    "a finished pod that was there before the record is proof": {
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
    "a record first seen in the moment of the death is not": {
      tombstones: [dead("a", { seenAt: SEEN, endedAfter: SEEN - 1 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a record first seen a moment before the death is": {
      tombstones: [dead("a", { seenAt: SEEN + 1, endedAfter: SEEN - 1 })],
      is: "Zombie DeathConfirmed",
    },
    "a record first seen while the view of the pods lagged, before its news of the death, is not": {
      tombstones: [dead("a", { seenAt: SEEN + 15_001, endedAfter: SEEN })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a record first seen before the death itself is, however late the news": {
      tombstones: [dead("a", { seenAt: SEEN + 60_000, endedAfter: SEEN + 1 })],
      is: "Zombie DeathConfirmed",
    },
    "a pod that died for good before the record was written did not write it": {
      tombstones: [dead("a", { seenAt: SEEN - 2_000 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a pod younger than the record did not write it": {
      tombstones: [dead("a", { createdAfter: SEEN + 1 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "of two dead pods one must have died after the record was there": {
      tombstones: [dead("a"), dead("b", { seenAt: SEEN - 1_999 })],
      is: "Zombie DeathConfirmed",
    },
    "a finished pod beside one that was removed by force is no proof": {
      tombstones: [dead("a"), dead("b", { reason: "NotConfirmed", seenAt: NOW - 100_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "a pod whose address is not known yet could have written it": {
      tombstones: [dead("a")],
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "a pod whose address is not known yet but that began later could not": {
      tombstones: [dead("a")],
      hiddenSince: SEEN + 1,
      is: "Zombie DeathConfirmed",
    },
    "a node that came back runs its pods anew: one that is still listed elsewhere could have written it": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 70_000 })],
      is: "Suspect PossibleNewborn",
    },
    "a pod of a node that had not come back yet could have written it, for its kubelet was quicker than our news": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 1 })],
      is: "Suspect PossibleNewborn",
    },
    "a node that came back long ago has reported the addresses of all its pods": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 75_000 })],
      is: "Zombie DeathConfirmed",
    },
    "a node that came back runs nothing that wrote it long before": {
      record: { seenAt: NOW - 80_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 4_000 })],
      is: "Zombie DeathConfirmed",
    },
    "another node's return says nothing": {
      tombstones: [dead("a")],
      record: { seenAt: NOW - 60_000 },
      nodes: [node(), node({ name: "node-2", returnedAt: NOW - 60_000 })],
      is: "Zombie DeathConfirmed",
    },
    "a pod that the view does not hold yet could have written it": {
      tombstones: [dead("a")],
      caughtUpTo: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "a record touched after the death is alive": {
      record: { touchedAfter: NOW - 1_000 },
      tombstones: [dead("a")],
      is: "Contested WrittenAfterDeath",
    },
    "a record touched a moment before the death may be the dead one's": {
      record: { touchedAfter: NOW - 1_001 },
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
  });

  it("rests on the pod, and needs no confirm read where the guard is exact", () => {
    expect(verdictOf({ tombstones: [dead("a")] }).evidence).toEqual({
      class: "Confirmed",
      podUid: "uid-a",
      podNamespace: "shop",
      podName: "a",
      since: NOW - 1_000,
      needsConfirmRead: false,
    });
  });

  it("looks again soon for a newborn, then more seldom", () => {
    const review = (seenAt: number): number | undefined =>
      verdictOf({ tombstones: [dead("a", { seenAt })], hiddenSince: SEEN }).reviewAfterMs;
    expect([NOW, NOW - 600, NOW - 60_000].map(review)).toEqual([250, 300, 2_000]);
  });
});

describe("containers seen terminated in a pod that was not finished", () => {
  const ended = { reason: "ContainersTerminated", seenAt: SEEN + 20_000 } as const;
  check({
    "are proof for a record that was there ten seconds before": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN + 10_001 })],
      is: "Zombie DeathConfirmed",
    },
    "are none for a younger record: the container may run again": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN + 10_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "are none however late we heard of them": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN - 1, seenAt: NOW - 1_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "do not prove that the pod was dead before a record was written": {
      tombstones: [dead("a", { ...ended, seenAt: SEEN - 50_000, endedAfter: SEEN - 55_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
  });
});

describe("an adapter without an exact guard", () => {
  const exactGuard = false;
  check({
    "a confirmed death needs that no pod at all waits for its address": {
      exactGuard,
      tombstones: [dead("a")],
      hiddenSince: NOW,
      is: "Suspect PossibleNewborn",
    },
    "a confirmed death counts when none does": { exactGuard, tombstones: [dead("a")], is: "Zombie DeathConfirmed" },
    "a younger pod may have registered the very same again": {
      exactGuard,
      live: [living("a", { createdAfter: SEEN + 1 })],
      is: "Live OwnerLives",
    },
    "a younger pod that died unconfirmed may have, too": {
      exactGuard,
      tombstones: [dead("a"), dead("b", { createdAfter: SEEN + 1, reason: "NotConfirmed" })],
      is: "Suspect KubeletNotDoneYet",
    },
    "containers seen terminated prove nothing": {
      exactGuard,
      tombstones: [dead("a", { reason: "ContainersTerminated" })],
      is: "Suspect KubeletNotDoneYet",
    },
    "a reused address counts only when no pod waits for its address": {
      exactGuard,
      live: [living("b", { createdAfter: SEEN + 1 })],
      knows: { "shop/Deployment/b": ["orders"] },
      hiddenSince: NOW,
      is: "Suspect PossibleNewborn",
    },
  });

  it("asks for the confirm read", () => {
    expect(verdictOf({ exactGuard, tombstones: [dead("a")] }).evidence?.needsConfirmRead).toBe(true);
  });
});

describe("reused address", () => {
  const live = [living("b", { createdAfter: SEEN + 1, seenAt: SEEN + 5_000 })];
  const knows = { "shop/Deployment/b": ["orders"] };
  check({
    "a younger pod of another service took the address over": { live, knows, is: "Zombie AddressReused" },
    "two younger pods of other services did": {
      live: [...live, living("c", { createdAfter: SEEN + 1 })],
      knows: { ...knows, "shop/Deployment/c": ["stock"] },
      is: "Zombie AddressReused",
    },
    "one of two pods there that may be the registrant keeps it": {
      live: [...live, living("c", { createdAfter: SEEN })],
      knows: { ...knows, "shop/Deployment/c": ["stock"] },
      is: "Live OwnerLives",
    },
    "the dead owner's kubelet said so as well": { live, knows, tombstones: [dead("a")], is: "Zombie AddressReused" },
    "the old owner may live on a lost node, without a lease nobody can tell": {
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false })],
      is: "Unknown NodeUnreachable",
    },
    "the old owner may live on a lost node, its lease tells": {
      record: leased,
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [],
      is: "Suspect LeaseNotSilentYet",
    },
    "the old owner's node is there: it gave the address away": {
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      is: "Zombie AddressReused",
    },
    "somebody wrote the record after its pod had died": {
      record: { touchedAfter: NOW - 1_000 },
      live,
      knows,
      tombstones: [dead("a")],
      is: "Contested WrittenAfterDeath",
    },
  });

  it("is always confirmed by a read", () => {
    expect(verdictOf({ live, knows }).evidence).toMatchObject({
      class: "Reused",
      podUid: "uid-b",
      needsConfirmRead: true,
    });
  });
});

describe("a removal that no kubelet confirmed, with a lease", () => {
  const tombstones = [dead("a", { reason: "NotConfirmed", seenAt: NOW - 130_000 })];
  const scene = { record: leased, tombstones };
  const silentFor = { silentForMs: 30_000 };
  check({
    "waits for a reading": { ...scene, is: "Suspect LeaseNotSilentYet" },
    "is believed after twice the TTL without a refresh": {
      ...scene,
      memory: { life: life({ firstAt: NOW - 121_000, refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not believed while the lease was watched for less": {
      ...scene,
      memory: { life: life({ firstAt: NOW - 120_999, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed by one reading": {
      ...scene,
      memory: { life: life({ readings: 1, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed on an old reading": {
      ...scene,
      memory: { life: life({ lastAt: NOW - 5_001, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed on readings from before the record was written": {
      ...scene,
      memory: { life: life({ firstAt: SEEN - 1, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is contested while the lease is refreshed after it": {
      ...scene,
      memory: { life: life({ refreshedAt: NOW - 119_000 }) },
      is: "Contested LeaseRefreshed",
    },
    "is no longer contested when the refreshes have ended long ago": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 400_000 })],
      memory: { life: life({ refreshedAt: NOW - 121_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not believed sooner after the death than the policy asks, however silent the lease": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 119_999 })],
      memory: { life: life() },
      is: "Suspect LeaseNotSilentYet",
    },
    "follows a shorter time in the policy": {
      ...scene,
      rules: silentFor,
      memory: { life: life({ firstAt: NOW - 31_000, refreshedAt: NOW - 131_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "never follows one below two thirds of the TTL": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 39_000 })],
      rules: { silentForMs: 5_000 },
      memory: { life: life({ firstAt: NOW - 39_000, refreshedAt: NOW - 40_999 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "follows one below two thirds of the TTL from there on": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 39_000 })],
      rules: { silentForMs: 5_000 },
      memory: { life: life({ firstAt: NOW - 39_000, refreshedAt: NOW - 41_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is decided by the lease on a lost node too": {
      ...scene,
      nodes: [],
      memory: { life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not decided when the registry could not tell": {
      ...scene,
      memory: { life: life({ lease: "", readings: 0, refreshedAfter: -Infinity, refreshedBefore: Infinity }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is decided by silence even where a newborn could be the registrant": {
      record: leased,
      tombstones: [dead("a", { seenAt: NOW - 130_000 })],
      hiddenSince: SEEN,
      memory: { life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
  });

  it("asks for a first reading at once, and for the next when it can decide", () => {
    expect(verdictOf(scene)).toMatchObject({ needsLifeReading: true, reviewAfterMs: 120_000 });
    const watched = verdictOf({
      ...scene,
      memory: { life: life({ firstAt: NOW - 100_000, refreshedAt: NOW - 140_000 }) },
    });
    expect(watched).toMatchObject({ needsLifeReading: false, reviewAfterMs: 20_000 });
    const due = verdictOf({ ...scene, memory: { life: life({ lastAt: NOW - 6_000, refreshedAt: NOW - 140_000 }) } });
    expect(due).toMatchObject({ needsLifeReading: true, reviewAfterMs: 1_000 });
  });

  it("carries evidence of its own class", () => {
    const { evidence } = verdictOf({ ...scene, memory: { life: life({ refreshedAt: NOW - 140_000 }) } });
    expect(evidence).toMatchObject({
      class: "Unconfirmed",
      podUid: "uid-a",
      since: NOW - 130_000,
      needsConfirmRead: true,
    });
  });
});

describe("a heartbeat that the registry hears without telling its time", () => {
  const removedAt = NOW - 400_000;
  const removed = { reason: "NotConfirmed", seenAt: removedAt, endedAfter: removedAt - 2_000 } as const;
  const heard = <T extends Scene>(scene: T) => ({ exactGuard: false, record: { isHeard: true } as const, ...scene });
  /** A registrant whose heartbeat the registry has called missed since `silentSince`. */
  const missed = (silentSince: number, fields: Partial<LifeMemory> = {}): Partial<InstanceMemory> => ({
    ...absentForLong,
    suspectSince: removedAt,
    life: life({ grantedMs: 0, refreshedAfter: -Infinity, refreshedBefore: silentSince, ...fields }),
  });
  const tombstones = [dead("a", removed)];
  const goesOn = missed(NOW - 1_000);
  const vouched = { nodes: [node({ ready: false, outOfService: true })] };
  check({
    "keeps what a kubelet must have ended": heard({ tombstones, memory: goesOn, is: "Suspect HeartbeatNotSilentYet" }),
    "keeps what an administrator vouches for": heard({
      tombstones,
      ...vouched,
      memory: goesOn,
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps what no pod ever had": heard({ memory: goesOn, is: "Suspect NotAbsentLongEnough" }),
    "keeps it until there was a reading": heard({
      tombstones,
      memory: { ...absentForLong, suspectSince: removedAt },
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it when the registry could not tell": heard({
      tombstones,
      memory: missed(Infinity, { lease: "", readings: 0 }),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it after one reading": heard({
      tombstones,
      memory: missed(NOW - 300_000, { readings: 1 }),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it up to the policy's time": heard({
      tombstones,
      memory: missed(NOW - 120_999),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "lets go what a kubelet ended once it was missed for the policy's time": heard({
      tombstones,
      memory: missed(NOW - 121_000),
      is: "Zombie EndedByKubelet",
    }),
    "lets go what an administrator vouches for": heard({
      tombstones,
      ...vouched,
      memory: missed(NOW - 121_000),
      is: "Zombie NodeOutOfService",
    }),
    "lets go what no pod ever had": heard({ memory: missed(NOW - 121_000), is: "Zombie NoPodAtAddress" }),
    "is missed for the time that the policy says": heard({
      rules: { silentForMs: 5_000 },
      tombstones,
      memory: missed(NOW - 6_000),
      is: "Zombie EndedByKubelet",
    }),
    "that falls silent proves nothing of a lost node": heard({
      tombstones,
      nodes: [],
      memory: missed(NOW - 300_000),
      is: "Unknown NodeUnreachable",
    }),
    "that falls silent proves nothing while a newborn could be the registrant": heard({
      tombstones,
      hiddenSince: SEEN,
      memory: missed(NOW - 300_000),
      is: "Suspect PossibleNewborn",
    }),
    "is not asked for when a kubelet confirmed the death": heard({
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    }),
  });

  it("is asked for from the beginning, so that both waits go on together", () => {
    const waiting = verdictOf(heard({ tombstones: [dead("a", { ...removed, seenAt: NOW - 1_000 })] }));
    expect(waiting).toMatchObject({ reason: "KubeletNotDoneYet", needsLifeReading: true });
    expect(verdictOf(heard({ tombstones, memory: goesOn }))).toMatchObject({
      needsLifeReading: false,
      reviewAfterMs: 119_000,
    });
  });
});

describe("a removal that no kubelet confirmed, without a lease", () => {
  const seenAt = NOW - 151_000;
  const removed = { reason: "NotConfirmed", seenAt, endedAfter: seenAt - 2_000 } as const;
  const tombstones = [dead("a", removed)];
  const memory = absentForLong;
  check({
    "is believed when the node was Ready all the time and the wait is over": {
      tombstones,
      memory,
      is: "Zombie EndedByKubelet",
    },
    "waits for the time of the policy and the pod's grace": {
      tombstones: [dead("a", { ...removed, seenAt: NOW - 149_999 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits for a long grace period": {
      tombstones: [dead("a", removed, { graceMs: 31_001 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits at least until a kubelet must have heard of it": {
      rules: { absentForMs: 30_000 },
      tombstones: [dead("a", { ...removed, seenAt: NOW - 104_999 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits no longer than that": {
      rules: { absentForMs: 30_000 },
      tombstones: [dead("a", { ...removed, seenAt: NOW - 105_000 })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "waits for two complete lists": {
      tombstones,
      memory: { ...absentForLong, listsAtSuspect: 8 },
      is: "Suspect KubeletNotDoneYet",
    },
    "begins to wait with its first judgement": { tombstones, is: "Suspect KubeletNotDoneYet" },
    "begins to wait anew when the record is written anew": {
      record: { seenAt: NOW - 119_999, writtenAfter: NOW - 200_000, touchedAfter: NOW - 200_000 },
      tombstones,
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "is never believed when there is no such node": { tombstones, memory, nodes: [], is: "Unknown NodeUnreachable" },
    "is never believed while the node is not Ready": {
      tombstones,
      memory,
      nodes: [node({ ready: false })],
      is: "Unknown NodeUnreachable",
    },
    "is never believed when the node became Ready after it: it may be another machine": {
      tombstones,
      memory,
      nodes: [node({ since: seenAt - 1_999 })],
      is: "Unknown NodeUnreachable",
    },
    "is believed when the node became Ready in the last moment before it": {
      tombstones,
      memory,
      nodes: [node({ since: seenAt - 2_000 })],
      is: "Zombie EndedByKubelet",
    },
    "is believed at once when an administrator vouches for the node": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false, outOfService: true })],
      is: "Zombie NodeOutOfService",
    },
    "is not believed when the node that was vouched for is Ready": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ outOfService: true })],
      is: "Suspect KubeletNotDoneYet",
    },
    "is not believed when only one of two nodes is vouched for": {
      tombstones: [dead("a", removed), dead("b", removed, { node: "node-2" })],
      memory,
      nodes: [node({ ready: false, outOfService: true })],
      is: "Unknown NodeUnreachable",
    },
    "is not believed while a newborn could be the registrant": {
      tombstones,
      memory,
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "is not believed for a vouched node either while a newborn could be the registrant": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false, outOfService: true })],
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "counts in the same way for a pod that was only missed": {
      tombstones: [dead("a", { ...removed, reason: "NotWitnessed" })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "counts in the same way for a pod that left the address": {
      tombstones: [dead("a", { ...removed, reason: "AddressReleased" })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "is remembered when the cluster view has forgotten it": {
      memory: { ...absentForLong, unconfirmed: [{ host: "10.42.0.7", tombstone: dead("a", removed) }] },
      nodes: [],
      is: "Unknown NodeUnreachable",
    },
    "is not remembered for another address": {
      memory: { ...absentForLong, unconfirmed: [{ host: "10.42.0.8", tombstone: dead("a", removed) }] },
      nodes: [],
      is: "Zombie NoPodAtAddress",
    },
  });

  it("asks for another complete list until there were two", () => {
    const waiting = verdictOf({ tombstones, memory: { ...absentForLong, listsAtSuspect: 8 } });
    expect(waiting).toMatchObject({ needsCompleteList: true, reviewAfterMs: 1_000 });
  });
});

describe("absence", () => {
  const memory = absentForLong;
  check({
    "begins with the first judgement": { is: "Suspect NotAbsentLongEnough" },
    "is believed after the time of the policy": {
      memory: { ...memory, suspectSince: NOW - 120_000 },
      is: "Zombie NoPodAtAddress",
    },
    "is not believed sooner": {
      memory: { ...memory, suspectSince: NOW - 119_999 },
      is: "Suspect NotAbsentLongEnough",
    },
    "is not believed before two complete lists": {
      memory: { ...memory, listsAtSuspect: 8 },
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease gives an unseen pod's node the time to end it, whatever the policy says": {
      rules: { absentForMs: 30_000 },
      memory: { ...memory, suspectSince: NOW - 104_999 },
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease gives it no more than that": {
      rules: { absentForMs: 30_000 },
      memory: { ...memory, suspectSince: NOW - 105_000 },
      is: "Zombie NoPodAtAddress",
    },
    "begins anew when the record is written anew": {
      record: { seenAt: NOW - 119_999 },
      memory,
      is: "Suspect NotAbsentLongEnough",
    },
    "is contested after a write since it began": {
      record: { touchedAfter: NOW - 119_000 },
      memory,
      is: "Contested WrittenAfterDeath",
    },
    "is not believed while a newborn could be the registrant": {
      memory,
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "is not believed before the view has caught up with the record": {
      memory,
      caughtUpTo: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "without a lease is unknown while a node that could run it is out of touch": {
      memory,
      unreachableUntil: Infinity,
      is: "Unknown NodeUnreachable",
    },
    "without a lease counts from when the node was in touch again": {
      memory,
      unreachableUntil: NOW - 119_999,
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease and outside the pod network is unknown for ever": {
      at: ["172.16.0.1:80"],
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { metadata: { cluster: "prod-1" } },
      memory,
      is: "Unknown NobodyCanTell",
    },
    "with a lease waits for a reading": { record: leased, memory, is: "Suspect NotAbsentLongEnough" },
    "with a silent lease is believed, also outside the pod network": {
      at: ["172.16.0.1:80"],
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { ...leased, metadata: { cluster: "prod-1" } },
      memory: { ...memory, life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie NoPodAtAddress",
    },
    "with a lease does not mind a lost node": {
      record: leased,
      memory: { ...memory, life: life({ refreshedAt: NOW - 140_000 }) },
      unreachableUntil: Infinity,
      is: "Zombie NoPodAtAddress",
    },
    "with a lease that was refreshed since is contested": {
      record: leased,
      memory: { ...memory, life: life({ refreshedAt: NOW - 110_000 }) },
      is: "Contested LeaseRefreshed",
    },
    "with a long lease waits for two thirds of it": {
      record: { ttlMs: 600_000 },
      memory: {
        ...memory,
        life: life({ firstAt: NOW - 121_000, grantedMs: 600_000, refreshedAt: NOW - 400_999 }),
      },
      is: "Suspect NotAbsentLongEnough",
    },
    "with a long lease waits no longer": {
      record: { ttlMs: 600_000 },
      memory: {
        ...memory,
        life: life({ firstAt: NOW - 121_000, grantedMs: 600_000, refreshedAt: NOW - 401_000 }),
      },
      is: "Zombie NoPodAtAddress",
    },
  });

  it("rests on nobody", () => {
    expect(verdictOf({ memory }).evidence).toEqual({
      class: "Absent",
      podUid: "",
      podNamespace: "",
      podName: "",
      since: NOW - 121_000,
      needsConfirmRead: true,
    });
  });

  it("asks for complete lists until there were two", () => {
    expect(verdictOf({})).toMatchObject({ needsCompleteList: true, reviewAfterMs: 120_000 });
    expect(verdictOf({ memory: { suspectSince: NOW - 1_000, listsAtSuspect: 7 } })).toMatchObject({
      needsCompleteList: false,
      reviewAfterMs: 119_000,
    });
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

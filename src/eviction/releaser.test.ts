import { beforeEach, describe, expect, test } from "vitest";

import { ApiPods } from "../../test/support/api-pods.ts";
import { ClusterViewFixture, type PodSpec, rawNode, rawPod } from "../../test/support/cluster-view-fixture.ts";
import { WatchedRegistry } from "../../test/support/memory-registry.ts";
import { RegistryError } from "../registry/errors.ts";
import type { InstanceRecord, RegistryAdapter } from "../registry/port.ts";
import { createLogger } from "../telemetry/log.ts";
import type { Judgement, VerdictKind } from "../verdict/types.ts";
import { Releaser, type ReleaseRequest, type ReleaseResult } from "./releaser.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const HOST_IP = "192.168.0.1";
const owner: PodSpec = { name: "owner", ips: [IP] };
const never = new AbortController().signal;

let cluster: ClusterViewFixture;
let live: ApiPods;
let registry: WatchedRegistry;
let releaser: Releaser;
/** What happened, in order. */
let steps: string[];
/** Replaces methods of the adapter. */
let disturbed: Partial<RegistryAdapter>;

beforeEach(async () => {
  steps = [];
  disturbed = {};
  cluster = new ClusterViewFixture();
  live = new ApiPods();
  registry = new WatchedRegistry(
    "main",
    cluster.clock,
    (plain) => ({
      read: (id, signal) => {
        steps.push("read");
        return (disturbed.read ?? plain.read)(id, signal);
      },
      release: (...call) => {
        steps.push("release");
        const release = disturbed.release?.(...call) ?? plain.release?.(...call);
        return release ?? Promise.reject(new Error("the registry has no quarantine"));
      },
    }),
    { quarantine: true },
  );
  releaser = new Releaser({ cluster: cluster.view, live, clock: cluster.clock });
  cluster.nodes.set(rawNode({ name: "node-1", addresses: [HOST_IP], podCIDRs: ["10.42.0.0/24"] }));
  registry.register(ID, IP, { removable: "No" });
  registry.server.setQuarantined(ID, true);
  await cluster.advance(10_000);
});

/** A pod that lives in the view, and in the API as it is there. */
function lives(inView: PodSpec, inApi: PodSpec = inView): void {
  cluster.pods.set(rawPod(inView));
  live.set(cluster.projector.project(rawPod(inApi)));
}

function listed(): InstanceRecord {
  const record = registry.view.get(ID);
  if (record === undefined) throw new Error("not listed");
  return record;
}

function judgementOf(fields: Partial<Judgement> = {}, kind: VerdictKind = "Live"): Judgement {
  const verdict = {
    kind,
    reason: "OwnerLives",
    message: "pod shop/owner has the address",
    evidence: undefined,
    reviewAfterMs: undefined,
    needsLifeReading: false,
    needsCompleteList: false,
  };
  return { record: listed(), verdict, policy: "all", ...fields };
}

async function release(fields: Partial<ReleaseRequest> = {}): Promise<ReleaseResult> {
  return await releaser.release(
    {
      judgement: fields.judgement ?? judgementOf(),
      adapter: registry.adapter,
      fence: { isValid: () => true, clusterUid: "c1", reason: "because", traceId: "t1" },
      rejudge: () => {
        steps.push("judge");
        return registry.view.get(ID) === undefined ? undefined : judgementOf();
      },
      log: createLogger({ level: "silent" }),
      ...fields,
    },
    never,
  );
}

const isQuarantined = (): boolean | undefined => registry.server.get(ID)?.quarantined;

test("reads the pods, judges again, asks the fence, writes, and reads what became of it", async () => {
  lives(owner);
  live.answer = () => {
    steps.push("pods");
    return Promise.resolve();
  };
  const isValid = (): boolean => {
    steps.push("fence");
    return true;
  };
  const fence = { isValid, clusterUid: "c1", reason: "because", traceId: "t1" };
  expect(await release({ fence })).toMatchObject({ outcome: "Released", owner: { name: "owner" } });
  // The adapter asks the fence once more.
  expect(steps).toEqual(["pods", "judge", "fence", "release", "fence", "read"]);
  expect(live.reads).toEqual([`at ${IP}`]);
  expect(isQuarantined()).toBe(false);
});

describe("the quorum read speaks against a release", () => {
  const ended = { phase: "Succeeded", container: "terminated" } as const;
  const table: Readonly<Record<string, () => void>> = {
    "when no pod has the address": () => undefined,
    "when the pod is gone": () => {
      cluster.pods.set(rawPod(owner));
    },
    "when the pod has ended": () => lives(owner, { ...owner, ...ended }),
    "when the pod is terminating": () => lives(owner, { ...owner, deleting: true }),
    "when every container of the pod has ended": () => lives(owner, { ...owner, container: "terminated" }),
    "when the pod has another address by now": () => lives(owner, { ...owner, ips: ["10.42.0.9"] }),
    "when the pod that has the address is not in the view": () => {
      live.set(cluster.projector.project(rawPod(owner)));
    },
    "when the pod ends in the view during the read": () => {
      lives(owner);
      live.answer = () => {
        cluster.pods.set(rawPod({ ...owner, ...ended }));
        return Promise.resolve();
      };
    },
  };
  for (const [sentence, arrange] of Object.entries(table)) {
    test(sentence, async () => {
      arrange();
      expect((await release()).outcome).toBe("NotConfirmed");
      expect(isQuarantined()).toBe(true);
      expect(steps).not.toContain("release");
    });
  }

  test("when it fails, which is raised", async () => {
    lives(owner);
    live.answer = () => Promise.reject(new Error("no quorum"));
    await expect(release()).rejects.toThrow("no quorum");
    expect(isQuarantined()).toBe(true);
  });
});

test("a pod on the host network is an owner where it declares the port, and only there", async () => {
  const onHost = { hostNetwork: true, hostIPs: [HOST_IP], ips: [HOST_IP] } as const;
  registry.register(ID, HOST_IP, { removable: "No", port: 9100 });
  registry.server.setQuarantined(ID, true);
  await cluster.advance(1_000);
  lives({ name: "other", ...onHost, ports: [{ containerPort: 80 }] });
  expect((await release()).outcome).toBe("NotConfirmed");
  lives({ name: "owner", ...onHost, ports: [{ containerPort: 9100 }] });
  expect(await release()).toMatchObject({ outcome: "Released", owner: { name: "owner" } });
});

describe("the judgement after it speaks against a release", () => {
  const table: Readonly<Record<string, () => Judgement | undefined>> = {
    "when the record is gone, or nobody's": () => undefined,
    "when the record was written again": () => judgementOf({ record: { ...listed(), version: "another" } }),
    "when it is in rotation": () => judgementOf({ record: { ...listed(), quarantined: false } }),
    "when another policy is in charge": () => judgementOf({ policy: "another" }),
    "when its owner is dead again": () => judgementOf({}, "Zombie"),
    "when nothing is known any more": () => judgementOf({}, "Unknown"),
  };
  for (const [sentence, rejudge] of Object.entries(table)) {
    test(sentence, async () => {
      lives(owner);
      expect((await release({ rejudge })).outcome).toBe("NotConfirmed");
      expect(isQuarantined()).toBe(true);
    });
  }
});

describe("nothing is written", () => {
  test("behind a fence that is not valid", async () => {
    lives(owner);
    const fence = { isValid: () => false, clusterUid: "c1", reason: "because", traceId: "t1" };
    expect((await release({ fence })).outcome).toBe("Fenced");
    expect(steps).not.toContain("release");
    expect(isQuarantined()).toBe(true);
  });

  test("to an entry that changed behind the view's back", async () => {
    lives(owner);
    registry.server.hold();
    const judgement = judgementOf();
    registry.server.rewrite(ID);
    registry.server.release();
    expect((await release({ judgement, rejudge: () => judgement })).outcome).toBe("Changed");
    expect(isQuarantined()).toBe(true);
  });

  test("to an entry that is gone", async () => {
    lives(owner);
    const judgement = judgementOf();
    registry.server.remove(ID);
    expect((await release({ judgement, rejudge: () => judgement })).outcome).toBe("Gone");
  });

  test("by a registry that has no quarantine", async () => {
    lives(owner);
    const plain = new WatchedRegistry("plain", cluster.clock);
    await expect(release({ adapter: plain.adapter })).rejects.toThrow(TypeError);
  });
});

describe("the end of a release", () => {
  test("is open when the registry does not answer", async () => {
    lives(owner);
    disturbed.release = () => Promise.reject(new RegistryError("TimedOut", "no answer in time"));
    expect(await release()).toMatchObject({ outcome: "Unsettled", error: { code: "TimedOut" } });
  });

  const table: Readonly<Record<string, [RegistryAdapter["read"], string]>> = {
    "is not verified when the read after it fails": [() => Promise.reject(new Error("down")), "NotVerified"],
    "is not verified when a later read still shows it out of rotation": [
      () => Promise.resolve({ ...listed(), quarantined: true }),
      "NotVerified",
    ],
    "is that it is gone when a later read does not find it": [() => Promise.resolve(undefined), "Gone"],
  };
  for (const [sentence, [read, outcome]] of Object.entries(table)) {
    test(sentence, async () => {
      lives(owner);
      disturbed.read = read;
      expect((await release()).outcome).toBe(outcome);
    });
  }
});

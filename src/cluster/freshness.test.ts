import { describe, expect, it } from "vitest";

import { ClusterViewFixture } from "../../test/support/cluster-view-fixture.ts";

const kinds = ["pods", "nodes", "slices", "namespaces"] as const;

function cluster(): ClusterViewFixture {
  const fixture = new ClusterViewFixture();
  fixture.namespace("kube-system", "uid-of-this-cluster");
  return fixture;
}

describe("the cluster view is", () => {
  it("fresh when every kind is synced and young and the cluster is known", () => {
    const fixture = cluster();
    fixture.freshness.pods = { caughtUpTo: fixture.now - 14_999 };
    expect(fixture.view.freshness(fixture.now)).toEqual({
      fresh: true,
      problem: undefined,
      caughtUpTo: fixture.now - 14_999,
    });
    expect(fixture.view.clusterUid).toBe("uid-of-this-cluster");
  });

  it.each(kinds)("not fresh while %s have not been listed", (kind) => {
    const fixture = cluster();
    fixture.freshness[kind] = { synced: false };
    expect(fixture.view.freshness(fixture.now)).toMatchObject({ fresh: false, problem: { reason: "NotSynced" } });
    expect(fixture.view.freshness(fixture.now).problem?.message).toContain(kind);
  });

  it.each(kinds)("not fresh when %s are 15 s old", (kind) => {
    const fixture = cluster();
    fixture.freshness[kind] = { caughtUpTo: fixture.now - 15_000 };
    expect(fixture.view.freshness(fixture.now).problem).toEqual({
      reason: "ViewStale",
      message: `${kind} are 15 s old`,
    });
  });

  it.each(kinds)("not fresh when the age of %s is not proven", (kind) => {
    const fixture = cluster();
    fixture.freshness[kind] = { caughtUpTo: -Infinity };
    expect(fixture.view.freshness(fixture.now).problem?.message).toBe(`${kind} are of unproven age`);
  });

  it("not fresh with the reflector's own reason where it has one, once the view is too old", () => {
    const fixture = cluster();
    const problem = { reason: "Forbidden", message: "pods may not be listed" };
    fixture.freshness.pods = { problem };
    expect(fixture.view.freshness(fixture.now).fresh).toBe(true);
    fixture.freshness.pods = { problem, caughtUpTo: fixture.now - 20_000 };
    expect(fixture.view.freshness(fixture.now).problem).toEqual({
      reason: "Forbidden",
      message: "pods are 20 s old: pods may not be listed",
    });
    fixture.freshness.pods = { problem, synced: false };
    expect(fixture.view.freshness(fixture.now).problem?.reason).toBe("Forbidden");
  });

  it("not fresh when kube-system is missing, until it is there again", () => {
    const fixture = new ClusterViewFixture();
    expect(fixture.view.freshness(fixture.now).problem?.reason).toBe("ClusterIdentityUnknown");
    fixture.namespace("kube-system", "a");
    expect(fixture.view.freshness(fixture.now).fresh).toBe(true);
    fixture.namespaces.list([]);
    expect(fixture.view.freshness(fixture.now).problem?.reason).toBe("ClusterIdentityUnknown");
    fixture.namespace("kube-system", "a");
    expect(fixture.view.freshness(fixture.now).fresh).toBe(true);
  });

  it("never fresh again once kube-system had another UID, also when the old one is back", () => {
    const fixture = cluster();
    fixture.namespaces.list([]);
    fixture.namespace("kube-system", "another");
    expect(fixture.view.freshness(fixture.now).problem).toMatchObject({ reason: "ClusterIdentityChanged" });
    fixture.namespaces.list([]);
    fixture.namespace("kube-system", "uid-of-this-cluster");
    expect(fixture.view.freshness(fixture.now).problem).toMatchObject({ reason: "ClusterIdentityChanged" });
    expect(fixture.view.clusterUid).toBe("uid-of-this-cluster");
  });
});

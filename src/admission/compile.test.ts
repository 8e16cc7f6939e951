import { describe, expect, it } from "vitest";

import type { RegistrationPolicySpec } from "../api/v1alpha1/index.ts";
import { HygeiaError } from "../errors.ts";
import { compilePodPolicy } from "./compile.ts";

type Wishes = Partial<Pick<RegistrationPolicySpec, "dns" | "keepalive" | "lifecycle">>;

/** As the API server stores it: defaults are filled in. */
const DNS = { searchMode: "Append", onConflict: "AuthorWins", libc: "Any", goResolver: "Unset" } as const;

function compile(wishes: Wishes, nests = true) {
  const metadata = { name: "shop", uid: "u1", resourceVersion: "1", generation: 3, creationTimestamp: "" };
  return compilePodPolicy({ metadata, spec: { mode: "Enforce", priority: 0, match: {}, ...wishes } }, nests);
}

const NOTHING = {
  name: "shop",
  generation: 3,
  dns: undefined,
  goResolver: undefined,
  sysctls: undefined,
  gracePeriod: undefined,
  preStopSleep: undefined,
};

describe("what a policy wants of pods", () => {
  it("is nothing without dns, keepalive and lifecycle", () => {
    expect(compile({})).toBeUndefined();
  });

  it("is nothing with a dns that asks for nothing", () => {
    expect(compile({ dns: DNS })).toBeUndefined();
  });

  it("puts ndots before the other options", () => {
    const dns = {
      ...DNS,
      ndots: 2,
      options: [{ name: "timeout", value: "1" }, { name: "use-vc" }],
      onConflict: "Override",
    } satisfies Wishes["dns"];
    expect(compile({ dns })?.dns).toEqual({
      options: [
        { name: "ndots", value: "2" },
        { name: "timeout", value: "1" },
        { name: "use-vc", value: undefined },
      ],
      searches: [],
      replacesSearches: false,
      nameservers: [],
      overrides: true,
    });
  });

  it("takes search domains and name servers as they are", () => {
    const dns = { ...DNS, searches: ["a.example"], searchMode: "Replace", nameservers: ["192.0.2.1"] } as const;
    expect(compile({ dns: { ...dns, searches: [...dns.searches], nameservers: [...dns.nameservers] } })?.dns).toEqual({
      options: [],
      searches: ["a.example"],
      replacesSearches: true,
      nameservers: ["192.0.2.1"],
      overrides: false,
    });
  });

  it("can be the Go resolver alone", () => {
    expect(compile({ dns: { ...DNS, goResolver: "Cgo", goContainers: ["app"] } })).toEqual({
      ...NOTHING,
      goResolver: { netdns: "cgo", containers: ["app"] },
    });
  });

  it("counts durations in whole seconds", () => {
    expect(compile({ keepalive: { time: "1h30m", interval: "30s", probes: 3, finTimeout: "1m" } })).toEqual({
      ...NOTHING,
      sysctls: [
        { name: "net.ipv4.tcp_keepalive_time", value: "5400" },
        { name: "net.ipv4.tcp_keepalive_intvl", value: "30" },
        { name: "net.ipv4.tcp_keepalive_probes", value: "3" },
        { name: "net.ipv4.tcp_fin_timeout", value: "60" },
      ],
    });
  });

  it("leaves tcp_fin_timeout alone when the policy does not name it", () => {
    const sysctls = compile({ keepalive: { time: "300s", interval: "30s", probes: 3 } })?.sysctls;
    expect(sysctls?.map(({ name }) => name)).not.toContain("net.ipv4.tcp_fin_timeout");
  });

  it("holds no keepalive that does not nest, and is then nothing without the rest", () => {
    const keepalive = { time: "300s", interval: "30s", probes: 3 };
    expect(compile({ keepalive }, false)).toBeUndefined();
    expect(compile({ keepalive, lifecycle: { preStopSleepSeconds: 5 } }, false)).toEqual({
      ...NOTHING,
      preStopSleep: 5,
    });
  });

  it("takes the lifecycle in seconds", () => {
    expect(compile({ lifecycle: { terminationGracePeriodSeconds: 60 } })).toEqual({ ...NOTHING, gracePeriod: 60 });
  });

  it.each([
    ["spec.keepalive.time", { time: "10h", interval: "30s", probes: 3 }],
    ["spec.keepalive.time", { time: "0s", interval: "30s", probes: 3 }],
    ["spec.keepalive.interval", { time: "300s", interval: "1500ms", probes: 3 }],
    ["spec.keepalive.probes", { time: "300s", interval: "30s", probes: 128 }],
    ["spec.keepalive.finTimeout", { time: "300s", interval: "30s", probes: 3, finTimeout: "121s" }],
  ])("is refused with a %s that no kernel takes", (field, keepalive) => {
    expect(() => compile({ keepalive })).toThrow(HygeiaError);
    expect(() => compile({ keepalive })).toThrow(`${field}: must be a whole number from 1 to`);
  });
});

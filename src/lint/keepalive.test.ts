import { join } from "node:path";

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { readCrds } from "../../scripts/generate-schema.ts";
import type { RegistrationPolicyKeepalive, RegistrationPolicyPath } from "../api/v1alpha1/index.ts";
import { keepaliveNests, lintKeepalive } from "./keepalive.ts";
import { PRESETS } from "./paths.ts";

const CRDS = join(import.meta.dirname, "../../crds");

function keepalive(
  time: string,
  interval: string,
  probes: number,
  ...paths: readonly RegistrationPolicyPath[]
): RegistrationPolicyKeepalive {
  return { time, interval, probes, ...(paths.length === 0 ? {} : { paths: [...paths] }) };
}

const idle = (idleTimeout: string, tcpKeepalive?: "Counts" | "Ignored"): RegistrationPolicyPath => ({
  name: "hop",
  idleTimeout,
  ...(tcpKeepalive === undefined ? {} : { tcpKeepalive }),
});
const preset = (product: keyof typeof PRESETS): RegistrationPolicyPath => ({ name: "hop", preset: product });

describe("a path", () => {
  const cases: Record<
    string,
    { keepalive: RegistrationPolicyKeepalive; severity: string; code: string; message: string }
  > = {
    "fits with every margin": {
      keepalive: keepalive("300s", "30s", 5, idle("900s")),
      severity: "Fine",
      code: "Nested",
      message: "path hop (idle timeout 900s): time + 2 x interval = 360s, which leaves 540s",
    },
    "fits Azure as it is documented": {
      keepalive: keepalive("2m", "20s", 4, preset("AzureLoadBalancer")),
      severity: "Fine",
      code: "Nested",
      message: "path hop (AzureLoadBalancer, idle timeout 240s): time + 2 x interval = 160s, which leaves 80s",
    },
    "is refused where it forgets after the third probe at the latest": {
      keepalive: keepalive("300s", "30s", 3, idle("390s")),
      severity: "Refused",
      code: "CutsConnections",
      message:
        "path hop (idle timeout 390s): time + 3 x interval = 300s + 3 x 30s = 390s is not below 390s: it would forget " +
        "connections that live. With interval 30s a time of at most 195s fits with every margin",
    },
    "is let through one second above that, with a warning": {
      keepalive: keepalive("300s", "30s", 3, idle("391s")),
      severity: "Warning",
      code: "NarrowMargin",
      message:
        "path hop (idle timeout 391s): time 300s is more than half of 391s. With interval 30s a time of at most 195s fits",
    },
    "is refused with Linux' own times at nearly everything": {
      keepalive: keepalive("2h", "75s", 9, preset("IPVS")),
      severity: "Refused",
      code: "CutsConnections",
      message: "time + 3 x interval = 7200s + 3 x 75s = 7425s is not below 900s",
    },
    "warns where the first probe comes late": {
      keepalive: keepalive("451s", "1s", 3, idle("900s")),
      severity: "Warning",
      code: "NarrowMargin",
      message:
        "path hop (idle timeout 900s): time 451s is more than half of 900s. With interval 1s a time of at most 450s",
    },
    "warns where a lost probe leaves less than half a minute": {
      keepalive: keepalive("60s", "16s", 3, idle("121s")),
      severity: "Warning",
      code: "NarrowMargin",
      message:
        "time + 2 x interval = 60s + 2 x 16s = 92s leaves 29s when a probe is lost, less than 30s. With interval 16s a " +
        "time of at most 59s fits",
    },
    "is fine at the very margins": {
      keepalive: keepalive("60s", "15s", 3, idle("120s")),
      severity: "Fine",
      code: "Nested",
      message: "time + 2 x interval = 90s, which leaves 30s",
    },
    "says that the interval is too long for any time": {
      keepalive: keepalive("60s", "2m", 3, idle("240s")),
      severity: "Refused",
      code: "CutsConnections",
      message: "No time fits with interval 120s: lower it to 42s or less",
    },
    "says that there is no room for a margin at all": {
      keepalive: keepalive("5s", "1s", 3, idle("32s")),
      severity: "Warning",
      code: "NarrowMargin",
      message: "32s leaves no room for a keepalive with a margin of 30s",
    },
    "can not be held by probes in layer 7": {
      keepalive: keepalive("20s", "5s", 3, preset("AWSALB")),
      severity: "Warning",
      code: "KeepaliveIgnored",
      message:
        "path hop (AWSALB, idle timeout 60s): TCP keepalive does not count there, only data does: clients must give up " +
        "idle connections before 60s, servers after it",
    },
    "takes what is set beside a preset": {
      keepalive: keepalive("1800s", "60s", 3, {
        name: "hop",
        preset: "AWSALB",
        idleTimeout: "4000s",
        tcpKeepalive: "Counts",
      }),
      severity: "Fine",
      code: "Nested",
      message: "path hop (AWSALB, idle timeout 4000s)",
    },
    "is not refused by its idle timeout where keepalive does not count": {
      keepalive: keepalive("300s", "30s", 3, idle("60s", "Ignored")),
      severity: "Warning",
      code: "KeepaliveIgnored",
      message: "path hop (idle timeout 60s)",
    },
    "is refused where nothing is known of it": {
      keepalive: keepalive("1s", "1s", 1, { name: "hop" }),
      severity: "Refused",
      code: "IdleTimeoutUnknown",
      message: "path hop: it has neither an idleTimeout nor a preset: write one of them",
    },
  };
  for (const [sentence, { keepalive: asked, severity, code, message }] of Object.entries(cases)) {
    test(sentence, () => {
      const [finding] = lintKeepalive(asked, undefined).paths;
      expect(finding).toMatchObject({ severity, code, field: "spec.keepalive.paths[0]", path: "hop" });
      expect(finding?.message).toContain(message);
    });
  }

  test("is judged for itself, in the order of the policy", () => {
    const { paths } = lintKeepalive(
      keepalive("300s", "30s", 3, { ...preset("IPVS"), name: "a" }, { ...preset("AWSNLB"), name: "b" }),
      undefined,
    );
    expect(paths.map(({ path, field, severity }) => [path, field, severity])).toEqual([
      ["a", "spec.keepalive.paths[0]", "Fine"],
      ["b", "spec.keepalive.paths[1]", "Refused"],
    ]);
  });

  test("holds what the advice says", () => {
    const at = fc.integer({ min: 1, max: 7200 });
    fc.assert(
      fc.property(at, at, fc.integer({ min: 1, max: 40_000 }), (time, interval, limit) => {
        const judged = (t: number) =>
          lintKeepalive(keepalive(`${t}s`, `${interval}s`, 3, idle(`${limit}s`)), undefined).paths[0];
        const finding = judged(time);
        const longest = /a time of at most (\d+)s fits/.exec(finding?.message ?? "")?.[1];
        if (longest === undefined) return;
        expect(judged(Number(longest))?.severity).toBe("Fine");
        expect(judged(Number(longest) + 1)?.severity).not.toBe("Fine");
      }),
    );
  });

  test("is refused exactly where the rule of the API server refuses it", () => {
    const at = fc.integer({ min: 1, max: 3600 });
    fc.assert(
      fc.property(at, at, fc.integer({ min: 1, max: 20_000 }), (time, interval, limit) => {
        const spec = { keepalive: keepalive(`${time}s`, `${interval}s`, 3, idle(`${limit}s`)) };
        expect(keepaliveNests(spec)).toBe(time + 3 * interval < limit);
      }),
    );
  });
});

describe("a keepalive", () => {
  test("says when it finds a dead peer, and what it costs", () => {
    expect(lintKeepalive(keepalive("300s", "30s", 5), undefined)).toEqual({
      time: 300,
      interval: 30,
      probes: 5,
      detection: 450,
      probesPerSecondPerThousandSockets: 1000 / 300,
      paths: [],
      findings: [],
    });
  });

  test.each([
    ["SilentFor", "(spec.registration.zombies.silentFor) after which its registration counts as dead: lower time"],
    ["TTL", "the usual one of their frameworks) after which the registry forgets it: lower time"],
  ] as const)("warns where the registry forgets sooner than it finds a dead peer, by %s", (by, says) => {
    const [finding, ...others] = lintKeepalive(keepalive("300s", "30s", 5), { seconds: 30, by }).findings;
    expect(finding).toMatchObject({ severity: "Warning", code: "SlowDetection", field: "spec.keepalive" });
    expect(finding?.message).toContain("time + interval x probes = 300s + 30s x 5 = 450s, later than the 30s");
    expect(finding?.message).toContain(says);
    expect(others).toEqual([]);
  });

  test("does not warn where it is as fast", () => {
    expect(lintKeepalive(keepalive("10s", "5s", 4), { seconds: 30, by: "TTL" }).findings).toEqual([]);
    expect(lintKeepalive(keepalive("10s", "5s", 4), { seconds: 29, by: "TTL" }).findings).toHaveLength(1);
  });

  test("nests where there is none, where it passes nothing, and where every path lets it", () => {
    expect(keepaliveNests({})).toBe(true);
    expect(keepaliveNests({ keepalive: keepalive("2h", "75s", 9) })).toBe(true);
    expect(keepaliveNests({ keepalive: keepalive("300s", "30s", 3, preset("IPVS"), preset("AWSALB")) })).toBe(true);
    expect(keepaliveNests({ keepalive: keepalive("300s", "30s", 3, preset("IPVS"), preset("AWSNLB")) })).toBe(false);
  });
});

describe("the presets", () => {
  test("are those of the CRD", () => {
    const crd = readCrds(CRDS).find(({ kind }) => kind === "RegistrationPolicy");
    const paths = crd?.schema.properties?.["spec"]?.properties?.["keepalive"]?.properties?.["paths"];
    expect(paths?.items?.properties?.["preset"]?.enum).toEqual(Object.keys(PRESETS));
  });

  // Written out: each is what its product's documentation says, and not what the code happens to hold.
  test("have the figures of their products", () => {
    const figures = Object.entries(PRESETS).map(([name, { idleTimeoutSeconds, tcpKeepalive }]) => [
      name,
      idleTimeoutSeconds,
      tcpKeepalive,
    ]);
    expect(figures).toEqual([
      ["AlibabaCLB", 900, "Counts"],
      ["AlibabaNLB", 900, "Counts"],
      ["TencentCLB", 900, "Counts"],
      ["AWSALB", 60, "Ignored"],
      ["AWSNLB", 350, "Counts"],
      ["AzureLoadBalancer", 240, "Counts"],
      ["GCPConntrack", 600, "Counts"],
      ["HuaweiELB", 300, "Counts"],
      ["IPVS", 900, "Counts"],
      ["OCINLB", 360, "Counts"],
    ]);
  });

  test("have a source and the month in which it was read", () => {
    for (const { source, date, idleTimeoutSeconds } of Object.values(PRESETS)) {
      expect(source).not.toBe("");
      expect(date).toMatch(/^20\d\d-(0[1-9]|1[0-2])$/);
      expect(idleTimeoutSeconds).toBeGreaterThan(0);
    }
  });
});

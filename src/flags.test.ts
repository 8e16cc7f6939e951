import { describe, expect, test } from "vitest";

import { FlagError, parseFlags, usage } from "./flags.ts";

describe("parseFlags", () => {
  const accepted: Record<string, { args: string[]; env?: Record<string, string>; holds: object }> = {
    "without flags everything has its documented default": {
      args: [],
      holds: {
        kubeconfig: undefined,
        namespace: "hygeia-system",
        leaderElect: true,
        metricsBindAddress: ":8080",
        healthProbeBindAddress: ":8081",
        logLevel: "info",
        dryRun: false,
        sweepIntervalMs: 30_000,
        relistIntervalMs: 300_000,
        freshnessLimitMs: 15_000,
      },
    },
    "the pod's namespace comes from the environment": {
      args: [],
      env: { POD_NAMESPACE: "ops" },
      holds: { namespace: "ops" },
    },
    "a flag beats the environment": {
      args: ["--namespace=here"],
      env: { POD_NAMESPACE: "ops" },
      holds: { namespace: "here" },
    },
    "a boolean flag may stand alone": {
      args: ["--dry-run", "--leader-elect"],
      holds: { dryRun: true, leaderElect: true },
    },
    "a boolean flag may be switched off": { args: ["--leader-elect=false"], holds: { leaderElect: false } },
    "a value may follow after a space": { args: ["--kubeconfig", "/tmp/kc"], holds: { kubeconfig: "/tmp/kc" } },
    "durations are written as in Go": { args: ["--sweep-interval=1m30s"], holds: { sweepIntervalMs: 90_000 } },
  };
  test.each(Object.entries(accepted))("%s", (_, { args, env, holds }) => {
    expect(parseFlags(args, env ?? {})).toMatchObject(holds);
  });

  test("the webhook follows its configuration, and certificates live a week and a year, unless something else is said", () => {
    expect(parseFlags([], {})).toHaveProperty(
      "webhook",
      expect.objectContaining({
        mode: "auto",
        address: ":9443",
        certificateDirectory: undefined,
        configurationName: "hygeia-mutating-webhook-configuration",
        lifetimes: {
          authorityMs: 365 * 86_400_000,
          leafMs: 7 * 86_400_000,
          propagationMs: 120_000,
          backdateMs: 3_600_000,
        },
        lookEveryMs: 30_000,
      }),
    );
    const args = ["--admission=webhook", "--webhook-cert-dir=/certificates", "--webhook-certificate-lifetime=1m"];
    expect(parseFlags(args, {})).toMatchObject({
      webhook: {
        mode: "webhook",
        certificateDirectory: "/certificates",
        lifetimes: { leafMs: 60_000, propagationMs: 5_000, backdateMs: 6_000 },
        lookEveryMs: 6_000,
      },
    });
  });

  const refused: Record<string, { args: string[]; names: string }> = {
    "an unknown flag": { args: ["--kubeconfg=x"], names: "--kubeconfg" },
    "an argument that is no flag": { args: ["start"], names: "start" },
    "a level that does not exist": { args: ["--log-level=loud"], names: "--log-level=loud" },
    "a boolean that is neither true nor false": { args: ["--dry-run=yes"], names: "--dry-run=yes" },
    "a way of admission that does not exist": { args: ["--admission=always"], names: "auto, webhook, policy, none" },
    "a webhook without an address": { args: ["--webhook-bind-address=0"], names: "--admission=none" },
    "a directory without a name": { args: ["--webhook-cert-dir="], names: "--webhook-cert-dir" },
    "certificates that outlive their authority": {
      args: ["--webhook-certificate-lifetime=168h", "--webhook-ca-lifetime=200h"],
      names: "a quarter of --webhook-ca-lifetime",
    },
    "a duration without a unit": { args: ["--sweep-interval=30"], names: "--sweep-interval=30" },
    "a freshness limit that a quiet view could not keep": {
      args: ["--freshness-limit=5s"],
      names: "--freshness-limit",
    },
  };
  test.each(Object.entries(refused))("%s is refused by name", (_, { args, names }) => {
    expect(() => parseFlags(args, {})).toThrow(FlagError);
    expect(() => parseFlags(args, {})).toThrow(names);
  });

  test("help wins over everything that is well formed, and names every flag", () => {
    expect(parseFlags(["--help", "--version", "--dry-run"], {})).toBe("Help");
    expect(usage()).toContain("--freshness-limit");
  });

  test("the version is shown when asked for, and not when told not to", () => {
    expect(parseFlags(["--version", "--dry-run"], {})).toBe("Version");
    expect(parseFlags(["--version=false"], {})).toMatchObject({ dryRun: false });
    expect(() => parseFlags(["--version=1"], {})).toThrow("--version=1");
  });
});

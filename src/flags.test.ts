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

  const refused: Record<string, { args: string[]; names: string }> = {
    "an unknown flag": { args: ["--kubeconfg=x"], names: "--kubeconfg" },
    "an argument that is no flag": { args: ["start"], names: "start" },
    "a level that does not exist": { args: ["--log-level=loud"], names: "--log-level=loud" },
    "a boolean that is neither true nor false": { args: ["--dry-run=yes"], names: "--dry-run=yes" },
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
    expect(parseFlags(["--help", "--dry-run"], {})).toBeUndefined();
    expect(usage()).toContain("--freshness-limit");
  });
});

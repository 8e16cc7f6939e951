import { execFile } from "node:child_process";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

/** Commands, and every flag they have. */
const commands: Record<string, { readonly program: string; readonly flags: readonly string[] }> = {
  bench: {
    program: "test/bench/main.ts",
    flags: ["pods", "rate", "registries", "admission", "admission-rate", "drift", "out", "help"],
  },
  demo: { program: "test/demo/main.ts", flags: ["registries", "keep", "help"] },
  env: { program: "test/env/cli.ts", flags: ["registries", "nodes", "out", "help"] },
  "lint:policy": {
    program: "src/cli/lint-policy.ts",
    flags: ["name", "namespace", "cluster-domain", "host-search", "families", "output", "help"],
  },
};

function run(program: string, ...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, program), ...args],
      { cwd: ROOT, timeout: 15_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
      },
    );
  });
}

describe.each(Object.entries(commands))("npm run %s", (name, { program, flags }) => {
  test("says with --help how it is used, with every flag", async () => {
    const { code, stdout, stderr } = await run(program, "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`npm run ${name} -- `);
    expect([...stdout.matchAll(/^ {4}--([a-z-]+)/gm)].map(([, flag]) => flag)).toEqual(flags);
  });

  test("answers a flag that it does not know in one line", async () => {
    const { code, stdout, stderr } = await run(program, ...(name === "env" ? ["up"] : []), "--no-such-flag");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^Unknown option '--no-such-flag'[^\n]*; --help shows all flags\n$/);
  });
});

test.each([
  ["bench", ["--pods", "many"], "--pods many: write whole numbers, as 5000,10000"],
  ["bench", ["--registries", "zookeeper"], "--registries zookeeper: write some of consul,etcd,nacos"],
  ["demo", ["--registries", "zookeeper"], "--registries zookeeper: write some of consul,etcd,nacos"],
  ["env", [], "say up or down"],
])("npm run %s -- %j says what to write", async (name, args, says) => {
  const { code, stderr } = await run(commands[name]?.program ?? "", ...args);
  expect({ code, stderr }).toEqual({ code: 2, stderr: `${says}; --help shows all flags\n` });
});

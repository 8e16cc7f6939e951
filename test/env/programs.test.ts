import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { cachedComponent, componentOf, NACOS_VERSION } from "./components.ts";
import { findKubectl, findNacos, findPrograms } from "./programs.ts";

const { name, version } = componentOf("etcd");
const HOW_TO_GET_GO =
  "install Go 1.26 or newer from https://go.dev/dl/, or name a directory that holds the programs in HYGEIA_COMPONENTS";
const HOW_TO_GET_JAVA = "install a JDK 17 or newer (Debian: apt-get install default-jdk-headless)";

/** An empty machine: nothing is given, kept or on PATH. */
let root: string;
let log: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hygeia-test-"));
  log = [];
  vi.stubEnv("HYGEIA_COMPONENTS", join(root, "components"));
  vi.stubEnv("KUBEBUILDER_ASSETS", join(root, "assets"));
  vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
  vi.stubEnv("HOME", join(root, "home"));
  vi.stubEnv("PATH", join(root, "path"));
  // What the tests write must never reach what this machine keeps: then none of them begins.
  expect(cachedComponent(name, version)).toBe(join(root, "cache", "hygeia", `${name}-${version}`));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

/** A program that runs this JavaScript. */
function program(path: string, script = "", mode = 0o755): string {
  if (!path.startsWith(root)) throw new Error(`${path} is the user's own`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!${process.execPath}\n${script}\n`, { mode });
  return path;
}

const find = async (): Promise<string> => (await findPrograms(["etcd"], (line) => log.push(line))).etcd;
const places = {
  components: () => join(root, "components", "etcd"),
  assets: () => join(root, "assets", "etcd"),
  cache: () => join(cachedComponent(name, version), "etcd"),
};

describe("a program is taken", () => {
  const cases: Record<string, { there: (keyof typeof places)[]; unusable?: keyof typeof places }> = {
    "from HYGEIA_COMPONENTS before all others": { there: ["components", "assets", "cache"] },
    "from KUBEBUILDER_ASSETS before the cache": { there: ["assets", "cache"] },
    "from the cache where no directory was given that holds it": { there: ["cache"] },
    "from where it can be run": { there: ["assets", "cache"], unusable: "components" },
  };
  test.each(Object.entries(cases))("%s", async (_, { there, unusable }) => {
    for (const place of there) program(places[place]());
    if (unusable !== undefined) program(places[unusable](), "", 0o644);
    expect(await find()).toBe(places[there[0] as keyof typeof places]());
  });

  test("from a build where nobody has it, once", async () => {
    const go = `
      const { appendFileSync, writeFileSync } = require("node:fs");
      const [command, ...args] = process.argv.slice(2);
      if (command === "env") console.log("go1.26.1");
      if (command === "list") console.log("one\\ntwo");
      if (command !== "build") process.exit();
      appendFileSync(${JSON.stringify(join(root, "builds"))}, args.at(-1));
      // As go does: named after the package.
      writeFileSync(args.find((arg) => arg.startsWith("-o=")).slice(3) + "server", "", { mode: 0o755 });`;
    program(join(root, "path", "go"), go);
    expect([await find(), await find()]).toEqual([places.cache(), places.cache()]);
    expect(log[0]).toBe(`building ${name} ${version} (etcd): started`);
    expect(log.filter((line) => line.endsWith("started"))).toHaveLength(1);
  });
});

describe("what is missing is told in one line:", () => {
  test("Go", async () => {
    await expect(find()).rejects.toThrow(new Error(`go is missing (to build ${name} ${version}): ${HOW_TO_GET_GO}`));
    expect(existsSync(places.cache())).toBe(false);
  });

  test("a Go that can read the module", async () => {
    program(join(root, "path", "go"), 'console.log("go1.19.8")');
    await expect(find()).rejects.toThrow(new Error(`go1.19.8 cannot build ${name} ${version}: ${HOW_TO_GET_GO}`));
  });

  test("Java", async () => {
    await expect(findNacos()).rejects.toThrow(new Error(`java is missing (to run Nacos): ${HOW_TO_GET_JAVA}`));
  });

  test("Maven", async () => {
    program(join(root, "path", "java"));
    await expect(findNacos()).rejects.toThrow(
      new Error(
        `mvn is missing (to fetch Nacos ${NACOS_VERSION}): install a JDK 17 or newer and Maven ` +
          "(Debian: apt-get install maven default-jdk-headless)",
      ),
    );
  });

  test("by npm run env too", async () => {
    const cli = fileURLToPath(new URL("cli.ts", import.meta.url));
    const run = promisify(execFile)(process.execPath, [cli, "up"], { cwd: root });
    await expect(run).rejects.toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^go is missing \(to build [^\n]+\): install Go [^\n]+\n$/) as string,
    });
  });
});

test("Nacos is taken from HYGEIA_COMPONENTS before the cache", async () => {
  const java = program(join(root, "path", "java"));
  const given = join(root, "components", "nacos");
  for (const directory of [cachedComponent("nacos", NACOS_VERSION), given]) {
    for (const part of ["lib", "classes"]) mkdirSync(join(directory, part), { recursive: true });
    const classPath = `${join(directory, "lib", "*")}:${join(directory, "classes")}`;
    expect(await findNacos()).toEqual({ java, classPath });
  }
});

describe("the kubectl of the machine", () => {
  test.each([
    ["is used within one minor version of the control plane", "v1.35.2", "path"],
    ["is passed over where it is older", "v1.34.0", "cache"],
    ["is passed over where it does not tell its version", "unknown", "cache"],
  ] as const)("%s", async (_, gitVersion, from) => {
    const version = JSON.stringify({ clientVersion: { gitVersion } }, null, 1);
    const own = program(join(root, "path", "kubectl"), `console.log(${JSON.stringify(version)})`);
    const kept = program(join(cachedComponent("kubernetes", componentOf("kubectl").version), "kubectl"));
    expect(await findKubectl()).toBe(from === "path" ? own : kept);
  });

  test("is not looked at where one was given", async () => {
    program(join(root, "path", "kubectl"), `console.log('"gitVersion": "v1.36.0"')`);
    const given = program(join(root, "assets", "kubectl"));
    expect(await findKubectl()).toBe(given);
  });
});

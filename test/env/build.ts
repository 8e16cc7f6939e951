import { execFile, spawn } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { cachedComponent, type GoComponent, programOnPath } from "./components.ts";
import { withLock } from "./lock.ts";
import { forgetPid, watchPid } from "./supervisor.ts";

/** Takes one line of progress, for people. */
export type Log = (line: string) => void;

/** How often a running build says that it runs, in milliseconds. */
const PROGRESS_INTERVAL = 10_000;

const execute = promisify(execFile);

/** Without C code, no C compiler is needed. */
const GO_ENVIRONMENT = { CGO_ENABLED: "0" };

/** The Go build that runs, if any: one keeps all cores busy, and two linkers at a time need gigabytes. */
let goBuild: Promise<void> = Promise.resolve();

/**
 * Builds programs of one component into the cache: in one run of the compiler, since they share packages, and never
 * twice at a time on one machine. What another process has built in the meantime is not built again.
 *
 * @param missing which of the programs the cache still lacks, asked again once no other process builds
 * @throws Error that names the missing toolchain, or holds the end of the compiler's output
 */
export async function buildGoPrograms(component: GoComponent, missing: () => string[], log: Log): Promise<void> {
  const build = goBuild.then(() => buildNow(component, missing, log));
  goBuild = build.catch(() => undefined);
  await build;
}

async function buildNow(component: GoComponent, missing: () => string[], log: Log): Promise<void> {
  const label = `${component.name} ${component.version}`;
  await installInto(component.name, component.version, log, async (directory) => {
    const programs = missing();
    if (programs.length === 0) return;
    const go = await requireGo(label);
    const variables = Object.entries(component.variables).map(([name, value]) => `-X ${name}=${value}`);
    const packages = programs.map((program) => component.programs[program] ?? "");
    const cwd = sourceOf(component.name);
    const output = join(directory, "out");
    mkdirSync(output);
    await run(`building ${label} (${programs.join(", ")})`, log, {
      command: go,
      args: [
        "build",
        "-v",
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        `-ldflags=${["-s", "-w", ...variables].join(" ")}`,
        // With a directory, `go build` makes one program for each package.
        `-o=${output}/`,
        ...packages,
      ],
      cwd,
      env: GO_ENVIRONMENT,
      // "-v" names each package as it is compiled, and leaves out those that it finds compiled.
      countLines: `of at most ${await countPackages(go, cwd, packages)} packages compiled`,
    });
    for (const program of programs) {
      const built = basename((component.programs[program] ?? "").replace(/\/v\d+$/, ""));
      renameSync(join(output, built), join(cachedComponent(component.name, component.version), program));
    }
  });
}

/**
 * Fetches Nacos' server from Maven Central and compiles its launcher, into `lib/` and `classes/` of the cache.
 * @param isMissing asked again once no other process builds
 * @throws Error that names the missing toolchain, or holds the end of the build's output
 */
export async function buildNacos(version: string, isMissing: () => boolean, log: Log): Promise<void> {
  await installInto("nacos", version, log, async (directory) => {
    if (!isMissing()) return;
    const how = "install a JDK 17 or newer and Maven (Debian: apt-get install maven default-jdk-headless)";
    const maven = requireTool("mvn", `to fetch Nacos ${version}`, how);
    const javac = requireTool("javac", `to compile the launcher of Nacos ${version}`, how);
    const source = sourceOf("nacos");
    await run(`fetching Nacos ${version}`, log, {
      command: maven,
      args: [
        "--batch-mode",
        `--file=${join(source, "pom.xml")}`,
        "dependency:copy-dependencies",
        `-DoutputDirectory=${join(directory, "lib")}`,
      ],
      cwd: directory,
      countLines: "lines of Maven output",
    });
    await run(`compiling the launcher of Nacos ${version}`, log, {
      command: javac,
      args: ["-cp", join(directory, "lib", "*"), "-d", join(directory, "classes"), join(source, "NacosServer.java")],
      cwd: directory,
      countLines: "lines of compiler output",
    });
    for (const part of ["lib", "classes"]) {
      const target = join(cachedComponent("nacos", version), part);
      rmSync(target, { recursive: true, force: true });
      renameSync(join(directory, part), target);
    }
  });
}

/**
 * The path of a tool on PATH.
 * @throws Error in one line that says what is missing, what for, and how to get it
 */
export function requireTool(tool: string, purpose: string, how: string): string {
  const path = programOnPath(tool);
  if (path === undefined) throw new Error(`${tool} is missing (${purpose}): ${how}`);
  return path;
}

/** Go from 1.21 on fetches the version that a module asks for; an older one cannot even read the module's file. */
async function requireGo(label: string): Promise<string> {
  const how =
    "install Go 1.26 or newer from https://go.dev/dl/, or name a directory that holds the programs in HYGEIA_COMPONENTS";
  const go = requireTool("go", `to build ${label}`, how);
  const { stdout } = await execute(go, ["env", "GOVERSION"]);
  const minor = /^go1\.(\d+)/.exec(stdout)?.[1];
  if (minor !== undefined && Number(minor) < 21) throw new Error(`${stdout.trim()} cannot build ${label}: ${how}`);
  return go;
}

/** The directory of a module that a component is built from, with what it has besides programs. Fetched if need be. */
export async function moduleDirectory(component: string, module: string): Promise<string> {
  const go = await requireGo(component);
  const options = { cwd: sourceOf(component), env: { ...process.env, ...GO_ENVIRONMENT }, maxBuffer: 1 << 26 };
  await execute(go, ["mod", "download", module], options);
  return (await execute(go, ["list", "-m", "-f", "{{.Dir}}", module], options)).stdout.trim();
}

/** How many packages a build consists of; fetches their source. */
async function countPackages(go: string, cwd: string, packages: readonly string[]): Promise<number> {
  const options = { cwd, env: { ...process.env, ...GO_ENVIRONMENT }, maxBuffer: 1 << 26 };
  const { stdout } = await execute(go, ["list", "-deps", ...packages], options);
  return stdout.trim().split("\n").length;
}

function sourceOf(component: string): string {
  return fileURLToPath(new URL(`components/${component}/`, import.meta.url));
}

/** Runs `build` with an empty directory on the cache's own file system, from where a rename is atomic. */
async function installInto(
  name: string,
  version: string,
  log: Log,
  build: (directory: string) => Promise<void>,
): Promise<void> {
  const target = cachedComponent(name, version);
  const onWait = (): void => log(`${name} ${version} is being built already: waiting for it`);
  await withLock(`${target}.lock`, onWait, async () => {
    mkdirSync(target, { recursive: true });
    removeLeftovers(target);
    const directory = join(target, `.build-${process.pid}`);
    mkdirSync(directory);
    try {
      await build(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

/** A build that was killed leaves its directory; the lock says that nobody uses one now. */
function removeLeftovers(target: string): void {
  for (const entry of readdirSync(target)) {
    if (entry.startsWith(".build-")) rmSync(join(target, entry), { recursive: true, force: true });
  }
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What a line of output stands for, in the progress lines. */
  readonly countLines: string;
}

async function run(what: string, log: Log, { command, args, cwd, env, countLines }: Command): Promise<void> {
  const startedAt = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - startedAt) / 1000)} s`;
  log(`${what}: started`);
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  if (child.pid !== undefined) watchPid(child.pid);
  const tail: string[] = [];
  let lines = 0;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines++;
      tail.push(line);
      if (tail.length > 30) tail.shift();
    });
  }
  const progress = setInterval(() => log(`${what}: ${seconds()}, ${lines} ${countLines}`), PROGRESS_INTERVAL);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`${what} failed:\n${tail.join("\n")}`));
      });
    });
    log(`${what}: done in ${seconds()}`);
  } finally {
    clearInterval(progress);
    if (child.pid !== undefined) forgetPid(child.pid);
  }
}

import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { buildGoPrograms, buildNacos, type Log, requireTool } from "./build.ts";
import {
  cachedComponent,
  cachedProgram,
  componentOf,
  givenProgram,
  KUBERNETES_MINOR,
  NACOS_VERSION,
  type Program,
  programOnPath,
} from "./components.ts";

const execute = promisify(execFile);

/** Progress goes to standard error where the caller does not take it: a build of minutes must not be silent. */
const logToStandardError: Log = (line) => process.stderr.write(`${line}\n`);

/**
 * Paths of the programs: from the directory that the user named, else from the cache, else built there.
 * @throws Error that names the missing toolchain, or holds the end of the compiler's output
 */
export async function findPrograms<Name extends Program>(
  programs: readonly Name[],
  log: Log = logToStandardError,
): Promise<Record<Name, string>> {
  const missing = (): Name[] => programs.filter((program) => lookUp(program) === undefined);
  const components = [...new Set(missing().map(componentOf))];
  for (const component of components) {
    await buildGoPrograms(component, () => missing().filter((program) => componentOf(program) === component), log);
  }
  const found = programs.map((program) => [program, lookUp(program) ?? ""] as const);
  return Object.fromEntries(found) as Record<Name, string>;
}

function lookUp(program: Program): string | undefined {
  return givenProgram(program) ?? cachedProgram(program);
}

/** The path of a kubectl within one minor version of the control plane: the user's own where it fits. */
export async function findKubectl(log: Log = logToStandardError): Promise<string> {
  const given = givenProgram("kubectl");
  if (given !== undefined) return given;
  const own = programOnPath("kubectl");
  if (own !== undefined && (await isWithinSkew(own))) return own;
  return (await findPrograms(["kubectl"], log)).kubectl;
}

async function isWithinSkew(kubectl: string): Promise<boolean> {
  try {
    const { stdout } = await execute(kubectl, ["version", "--client", "--output=json"], { timeout: 10_000 });
    const minor = /"gitVersion": "v1\.(\d+)\./.exec(stdout)?.[1];
    return minor !== undefined && Math.abs(Number(minor) - KUBERNETES_MINOR) <= 1;
  } catch {
    return false;
  }
}

/** What runs Nacos. */
export interface NacosProgram {
  /** Path of the java program. */
  readonly java: string;
  readonly classPath: string;
}

/**
 * Nacos' server: from `nacos/` in HYGEIA_COMPONENTS, else from the cache, else fetched and compiled there.
 * @throws Error that names the missing toolchain, or holds the end of the build's output
 */
export async function findNacos(log: Log = logToStandardError): Promise<NacosProgram> {
  const java = requireTool(
    "java",
    "to run Nacos",
    "install a JDK 17 or newer (Debian: apt-get install default-jdk-headless)",
  );
  const given = process.env["HYGEIA_COMPONENTS"];
  const directories = [cachedComponent("nacos", NACOS_VERSION)];
  if (given !== undefined && given !== "") directories.unshift(join(given, "nacos"));
  const lookUpNacos = (): string | undefined =>
    directories.find((directory) => existsSync(join(directory, "lib")) && existsSync(join(directory, "classes")));
  if (lookUpNacos() === undefined) await buildNacos(NACOS_VERSION, () => lookUpNacos() === undefined, log);
  const directory = lookUpNacos() ?? "";
  return { java, classPath: nacosClassPath(directory) };
}

/** A second hessian comes along with jraft; were it first, the server would not start. */
function nacosClassPath(directory: string): string {
  const library = join(directory, "lib");
  const hessian = readdirSync(library).filter((file) => /^hessian-4\..*\.jar$/.test(file));
  return [...hessian.map((file) => join(library, file)), join(library, "*"), join(directory, "classes")].join(":");
}

/** The resolvers whose queries are counted, and how each is made to look a name up in a pod. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Libc } from "../../src/lint/dns-queries.ts";
import { programOnPath } from "../env/components.ts";
import { librariesOf } from "../env/node/images.ts";
import type { Pod, Pods } from "./pods.ts";

const MUSL_PROGRAM = "/musl-lookup";
const CGO_PROGRAM = "/cgo-lookup";

/** Whether the name was found. */
export type LookUp = (pods: Pods, pod: Pod, name: string) => Promise<boolean>;

export const RESOLVERS: Readonly<Record<Libc, LookUp>> = {
  // getaddrinfo for both families, as most programs call it.
  Glibc: (pods, pod, name) => findsWith(pods, pod, "/usr/bin/getent", "ahosts", name),
  Musl: (pods, pod, name) => findsWith(pods, pod, MUSL_PROGRAM, name),
  Go: async (pods, pod, name) => {
    const lookups = JSON.parse(await pods.exec(pod, "/probe", "lookup", name)) as Record<string, { error: string }>;
    return lookups[name]?.error === "";
  },
};

/** A Go program that was built with cgo, and so has the choice between Go's resolver and that of glibc. */
export const lookUpWithCgo: LookUp = (pods, pod, name) => findsWith(pods, pod, CGO_PROGRAM, name);

/** These programs end with 2 when the name has no address. */
async function findsWith(pods: Pods, pod: Pod, ...command: readonly string[]): Promise<boolean> {
  const { code, stdout, stderr } = await pods.tryExec(pod, ...command);
  if (code !== 0 && code !== 2) throw new Error(`${command.join(" ")}: exit code ${code}: ${stdout}${stderr}`);
  return code === 0;
}

/** Why a resolver cannot be tried on this machine; undefined where it can. */
export function whyNot(libc: Libc): string | undefined {
  if (libc !== "Musl" || programOnPath("musl-gcc") !== undefined) return undefined;
  return "musl-gcc is missing (Debian: apt-get install musl-tools gcc)";
}

/** The same for lookUpWithCgo. */
export function whyNoCgo(): string | undefined {
  const missing = ["go", "gcc"].filter((program) => programOnPath(program) === undefined);
  return missing.length === 0 ? undefined : `missing: ${missing.join(", ")}, to build a program with cgo`;
}

/** Files that the pods' image has to hold: path in the image -> file. @param directory where they are made */
export function resolverFiles(directory: string): Record<string, string> {
  const build = (output: string, source: string, command: string, args: readonly string[], env = {}): string => {
    const program = join(directory, output);
    const file = fileURLToPath(new URL(source, import.meta.url));
    execFileSync(command, [...args, "-o", program, file], { timeout: 120_000, env: { ...process.env, ...env } });
    return program;
  };
  const files: Record<string, string> = {};
  if (whyNot("Musl") === undefined) {
    files[MUSL_PROGRAM] = build("musl-lookup", "musl/lookup.c", "musl-gcc", ["-static", "-O1"]);
  }
  if (whyNoCgo() === undefined) {
    const program = build("cgo-lookup", "cgo/lookup.go", "go", ["build", "-trimpath"], { CGO_ENABLED: "1" });
    Object.assign(files, librariesOf(program), { [CGO_PROGRAM]: program });
  }
  return files;
}

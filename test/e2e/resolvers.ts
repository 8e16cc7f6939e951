/** The resolvers whose queries are counted, and how each is made to look a name up in a pod. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Libc } from "../../src/lint/dns-queries.ts";
import { programOnPath } from "../env/components.ts";
import type { Pod, Pods } from "./pods.ts";

const MUSL_PROGRAM = "/musl-lookup";

/** Whether the name was found. */
type LookUp = (pods: Pods, pod: Pod, name: string) => Promise<boolean>;

export const RESOLVERS: Readonly<Record<Libc, LookUp>> = {
  // getaddrinfo for both families, as most programs call it.
  Glibc: (pods, pod, name) => findsWith(pods, pod, "/usr/bin/getent", "ahosts", name),
  Musl: (pods, pod, name) => findsWith(pods, pod, MUSL_PROGRAM, name),
  Go: async (pods, pod, name) => {
    const lookups = JSON.parse(await pods.exec(pod, "/probe", "lookup", name)) as Record<string, { error: string }>;
    return lookups[name]?.error === "";
  },
};

/** Both programs end with 2 when the name has no address. */
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

/** Files that the pods' image has to hold: path in the image -> file. @param directory where they are made */
export function resolverFiles(directory: string): Record<string, string> {
  if (whyNot("Musl") !== undefined) return {};
  const program = join(directory, "musl-lookup");
  const source = fileURLToPath(new URL("musl/lookup.c", import.meta.url));
  execFileSync("musl-gcc", ["-static", "-O1", "-o", program, source], { timeout: 60_000 });
  return { [MUSL_PROGRAM]: program };
}

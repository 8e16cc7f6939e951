import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Scope } from "../scope.ts";

/** Namespaces of a test node: processes, mounts, network. They end with {@link Scope.stop}, or with this process. */
export interface Sandbox {
  readonly directory: string;
  /** Path of the network namespace, for `nsenter --net`. */
  readonly network: string;
  /** Names the process namespace, see {@link processesIn}. */
  readonly processNamespace: string;
  /** Arguments of nsenter that run a command in all of the namespaces; the command ends with nsenter. */
  entering(command: readonly string[]): string[];
}

/**
 * @param directory what is written on the node goes there
 * @param addresses the node's own
 * @throws Error with what was said when the namespaces cannot be made
 */
export async function startSandbox(scope: Scope, directory: string, addresses: readonly string[]): Promise<Sandbox> {
  const script = fileURLToPath(new URL("sandbox.sh", import.meta.url));
  const namespaces = ["--mount", "--net", "--pid", "--mount-proc"];
  const { pid } = await scope.start({
    name: "sandbox",
    command: "unshare",
    // Whoever kills unshare kills the first process of the namespace, and with that all others.
    args: [...namespaces, "--fork", "--kill-child=KILL", "sh", script, directory, ...addresses],
    logFile: join(directory, "sandbox.log"),
    ready: () => Promise.resolve(existsSync(join(directory, "ready"))),
    readyTimeout: 30_000,
    stopGrace: 0,
  });
  // unshare itself is in all but the process namespace, which only its children are in.
  const processes = `/proc/${pid}/ns/pid_for_children`;
  return {
    directory,
    network: `/proc/${pid}/ns/net`,
    processNamespace: readlinkSync(processes),
    entering: (command) => [
      `--target=${pid}`,
      "--mount",
      "--net",
      `--pid=${processes}`,
      "--",
      "setpriv",
      "--pdeathsig=KILL",
      "--",
      ...command,
    ],
  };
}

/** Ids of the processes in a process namespace. The last one ends after all in the namespaces below it. */
export function processesIn(processNamespace: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === processNamespace;
      } catch {
        // Ended meanwhile.
        return false;
      }
    })
    .map(Number);
}

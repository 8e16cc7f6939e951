import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";
/** The control groups of the pods of a test node lie below one with such a name. */
const PREFIX = "hygeia-node-";

/** Name of the control group for the pods of a node of this process. */
export function cgroupName(id: string): string {
  return `${PREFIX}${process.pid}-${id}`;
}

/** Mount points of the hierarchies: one with version 2, one for each controller with version 1. */
export function cgroupHierarchies(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .trimEnd()
    .split("\n")
    .flatMap((line) => {
      const [fields = "", type = ""] = line.split(" - ");
      const mountPoint = fields.split(" ")[4] ?? "";
      return /^cgroup2? /.test(type) && mountPoint.startsWith(ROOT) ? [mountPoint] : [];
    });
}

/** Where containerd makes the control group of every container, in each hierarchy. */
const RUNTIME_GROUP = "k8s.io";

/**
 * Makes the node's own group in each hierarchy. The sandbox mounts it where containerd makes its groups, so that they
 * can be told from those of other nodes on the machine.
 * @returns group of the node -> where it is to be mounted
 */
export function makeCgroups(name: string): Record<string, string> {
  const pairs = cgroupHierarchies().map(
    (hierarchy) => [join(hierarchy, name), join(hierarchy, RUNTIME_GROUP)] as const,
  );
  for (const directory of pairs.flat()) mkdirSync(directory, { recursive: true });
  return Object.fromEntries(pairs);
}

/**
 * Removes the control groups of test nodes, also of those whose tests were killed. One in which a process runs cannot
 * be removed, so that a node of somebody else's is not harmed.
 * @returns those that are left
 */
export function removeCgroups(): string[] {
  return cgroupHierarchies().flatMap((hierarchy) => {
    const left = subdirectories(hierarchy)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => join(hierarchy, name))
      .filter((directory) => !removeTree(directory));
    // Another node may have it mounted over.
    if (left.length === 0) remove(join(hierarchy, RUNTIME_GROUP));
    return left;
  });
}

/** The files of a control group are part of it: only directories are removed, the deepest first. */
function removeTree(directory: string): boolean {
  for (const name of subdirectories(directory)) removeTree(join(directory, name));
  return remove(directory);
}

/** Whether it is not there any more. */
function remove(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch {
    // Not empty, or not there.
  }
  return !existsSync(directory);
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

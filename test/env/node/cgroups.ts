import { readdirSync, readFileSync, rmdirSync } from "node:fs";
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

/**
 * Removes the control groups of test nodes, also of those whose tests were killed. One in which a process runs cannot
 * be removed, so that a node of somebody else's is not harmed.
 * @returns those that are left
 */
export function removeCgroups(): string[] {
  return cgroupHierarchies().flatMap((hierarchy) =>
    subdirectories(hierarchy)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => join(hierarchy, name))
      .filter((directory) => !removeTree(directory)),
  );
}

/** The files of a control group are part of it: only directories are removed, the deepest first. */
function removeTree(directory: string): boolean {
  for (const name of subdirectories(directory)) removeTree(join(directory, name));
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
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

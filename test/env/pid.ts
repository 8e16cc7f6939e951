import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Whether a process with this id runs. A zombie (ended, not yet reaped) does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process may not be signalled, but it is there.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return statFields(pid)?.[0] !== "Z";
}

/**
 * A value that two processes with the same id, one after the other, do not share: the kernel's start time of the
 * process. Empty where there is no /proc.
 */
export function birthOf(pid: number): string {
  return statFields(pid)?.[19] ?? "";
}

/** Whether every thread of a process stands still (SIGSTOP), or has ended; true where there is no /proc. */
export function hasStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  try {
    return readdirSync(tasks).every((task) => /^[TZX]?$/.test(statFields(`${pid}/task/${task}`)?.[0] ?? ""));
  } catch {
    return true;
  }
}

/** Fields of /proc/PID/stat from the third (state) on; the second, the name, may hold spaces and brackets. */
function statFields(task: number | string): string[] | undefined {
  const file = `/proc/${task}/stat`;
  if (!existsSync(file)) return undefined;
  try {
    const text = readFileSync(file, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

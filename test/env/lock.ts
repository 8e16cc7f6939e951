import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { birthOf, isAlive } from "./pid.ts";

/** Tries to make the lock file, naming our process. A lock left behind by a dead process is taken away first. */
export function tryLock(file: string): boolean {
  mkdirSync(dirname(file), { recursive: true });
  removeIfStale(file);
  try {
    writeFileSync(file, `${process.pid} ${birthOf(process.pid)}`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Gives a lock back. */
export function unlock(file: string): void {
  rmSync(file, { force: true });
}

/**
 * Runs `task` while holding the lock; waits for it first.
 * @param onWait called once when another process holds the lock
 */
export async function withLock<Result>(file: string, onWait: () => void, task: () => Promise<Result>): Promise<Result> {
  for (let waited = false; !tryLock(file); waited = true) {
    if (!waited) onWait();
    await delay(200);
  }
  try {
    return await task();
  } finally {
    unlock(file);
  }
}

function removeIfStale(file: string): void {
  try {
    const [pid = "", birth] = readFileSync(file, "utf8").split(" ");
    // Empty: being written at this moment.
    if (pid === "") return;
    if (!isAlive(Number(pid)) || birthOf(Number(pid)) !== birth) unlock(file);
  } catch {
    // Nobody holds it.
  }
}

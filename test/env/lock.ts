import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { isAlive } from "./pid.ts";

/** Tries to make the lock file, holding our process id. A lock left behind by a dead process is taken away first. */
export function tryLock(file: string): boolean {
  mkdirSync(dirname(file), { recursive: true });
  removeIfStale(file);
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
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
    const owner = Number(readFileSync(file, "utf8"));
    if (owner > 0 && !isAlive(owner)) unlock(file);
  } catch {
    // Nobody holds it.
  }
}

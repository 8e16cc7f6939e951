/**
 * Ends the servers of a process that is gone. Run by supervisor.ts as a process of its own; reads one JSON message a
 * line from standard input, and when that closes, which happens however its parent ends, kills every process and
 * removes every directory it was told of and not told to forget.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

import { isAlive } from "./pid.ts";
import type { WatchdogMessage } from "./supervisor.ts";

const pids = new Set<number>();
const directories = new Set<string>();

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as WatchdogMessage;
  if ("watch" in message) pids.add(message.watch);
  else if ("forget" in message) pids.delete(message.forget);
  else if ("own" in message) directories.add(message.own);
  else directories.delete(message.disown);
}

for (const pid of pids) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Ended before.
  }
}
const alive = (): boolean => [...pids].some(isAlive);
for (let i = 0; i < 100 && alive(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });

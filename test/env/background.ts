/** What is known of servers that outlive the command that started them. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { birthOf, isAlive } from "./pid.ts";
import type { Resources } from "./scope.ts";

interface BackgroundProcess {
  readonly name: string;
  readonly pid: number;
  /** How long it may take to end after SIGTERM before SIGKILL, in milliseconds. */
  readonly stopGrace: number;
  /** Tells the process from a later one with the same id. */
  readonly birth: string;
}

/** The servers that `up` has left running, as kept in a file. */
export interface Background {
  readonly processes: readonly BackgroundProcess[];
  readonly directories: readonly string[];
  /** Where their addresses were written, if anywhere. */
  readonly out: string | undefined;
}

/** Keeps what `up` leaves running. */
export function saveBackground(file: string, resources: Resources, out: string | undefined): void {
  const processes = resources.processes.map((each) => ({ ...each, birth: birthOf(each.pid) }));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ processes, directories: resources.directories, out }, undefined, 2)}\n`);
}

/** What `up` has left running; undefined when nothing was, or all of it was stopped. */
export function loadBackground(file: string): Background | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Background) : undefined;
}

/** Those of the processes that still run. */
export function running({ processes }: Background): BackgroundProcess[] {
  return processes.filter(({ pid, birth }) => isAlive(pid) && birthOf(pid) === birth);
}

/** Ends the processes, removes their data, and forgets them. */
export async function stopBackground(file: string, background: Background): Promise<void> {
  for (const { pid, stopGrace } of running(background)) {
    process.kill(pid, "SIGCONT");
    process.kill(pid, stopGrace > 0 ? "SIGTERM" : "SIGKILL");
  }
  const deadline = performance.now() + Math.max(0, ...background.processes.map(({ stopGrace }) => stopGrace));
  while (running(background).length > 0 && performance.now() < deadline) await delay(50);
  for (const { pid } of running(background)) process.kill(pid, "SIGKILL");
  while (running(background).length > 0) await delay(20);
  const files = [...background.directories, file];
  if (background.out !== undefined) files.push(background.out);
  for (const each of files) rmSync(each, { recursive: true, force: true });
}

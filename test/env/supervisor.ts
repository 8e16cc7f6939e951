import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What the parent tells its watchdog, one JSON object a line. */
export type WatchdogMessage = { watch: number } | { forget: number } | { own: string } | { disown: string };

let watchdog: ChildProcess | undefined;

/** The process `pid` ends when this process ends, however it ends (SIGKILL too), until {@link forgetPid}. */
export function watchPid(pid: number): void {
  tell({ watch: pid });
}

/** The process `pid` has ended, or is to outlive this process. */
export function forgetPid(pid: number): void {
  tell({ forget: pid });
}

/** Makes an empty directory under the system's temporary one, removed at the latest when this process ends. */
export function makeTemporaryDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `hygeia-${name}-`));
  tell({ own: directory });
  return directory;
}

/** Removes a directory made by {@link makeTemporaryDirectory}. */
export function removeTemporaryDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  tell({ disown: directory });
}

/** The directory is to outlive this process. */
export function keepDirectory(directory: string): void {
  tell({ disown: directory });
}

function tell(message: WatchdogMessage): void {
  watchdog ??= startWatchdog();
  watchdog.stdin?.write(`${JSON.stringify(message)}\n`);
}

function startWatchdog(): ChildProcess {
  // In a session of its own: a Ctrl-C in the terminal must reach this process and not its watchdog.
  const child = spawn(process.execPath, [fileURLToPath(new URL("watchdog.ts", import.meta.url))], {
    detached: true,
    stdio: ["pipe", "ignore", "inherit"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  return child;
}

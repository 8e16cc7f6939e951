import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { hasStopped } from "./pid.ts";
import { forgetPid, watchPid } from "./supervisor.ts";

/** Between SIGSTOP and the last thread that stands still, milliseconds. */
const PAUSE_LIMIT_MS = 5_000;

/** How a server is run. */
export interface ProcessSpec {
  /** Stands in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /** Whether it serves; asked again and again until true. A rejection counts as false. */
  readonly ready: () => Promise<boolean>;
  /** How long `ready` may take, in milliseconds; default 120,000. */
  readonly readyTimeout?: number;
  /** How long it may take to end after SIGTERM before SIGKILL, in milliseconds; default 5,000; 0 = SIGKILL at once. */
  readonly stopGrace?: number;
}

/** A server process under our control. It ends with the process that started it. */
export interface ManagedProcess {
  readonly name: string;
  /** Of the present run, or of the last one. */
  readonly pid: number;
  readonly running: boolean;
  /** How long it may take to end after SIGTERM, in milliseconds; 0: it is not asked. */
  readonly stopGrace: number;
  /** Resolves when the present run has ended, with its exit code (null when a signal ended it). */
  readonly exited: Promise<number | null>;
  /** SIGSTOP: it keeps its connections and answers nothing from now on. @throws Error when it goes on */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** Sends a signal (default SIGKILL) and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGTERM, and SIGKILL when that takes too long; waits for the end. Does nothing when it has ended. */
  stop(): Promise<void>;
  /**
   * Runs it again with the same arguments, data and ports, and waits until it serves.
   * @throws Error with the end of its log when it ends or does not become ready
   */
  start(): Promise<void>;
  /** The last `lines` lines it wrote; default 30. */
  tail(lines?: number): string;
}

/** A server that has not been started yet. */
export function prepareProcess(spec: ProcessSpec): ManagedProcess {
  return new ServerProcess(spec);
}

class ServerProcess implements ManagedProcess {
  readonly #spec: ProcessSpec;
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
  }

  get name(): string {
    return this.#spec.name;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} was never started`);
    return pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stopGrace(): number {
    return this.#spec.stopGrace ?? 5_000;
  }

  get exited(): Promise<number | null> {
    return this.#exited;
  }

  async start(): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs already (pid ${this.pid})`);
    const log = openSync(this.#spec.logFile, "a");
    // A process group of its own: Ctrl-C in a terminal reaches us, and we end our servers in order.
    const child = spawn(this.#spec.command, this.#spec.args, {
      detached: true,
      stdio: ["ignore", log, log],
      env: { ...process.env, ...this.#spec.env },
      cwd: this.#spec.cwd,
    });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once("error", () => resolve(null));
      child.once("exit", (code) => {
        if (child.pid !== undefined) forgetPid(child.pid);
        resolve(code);
      });
    });
    if (child.pid === undefined) throw new Error(`${this.name}: cannot run ${this.#spec.command}`);
    watchPid(child.pid);
    await this.#becomeReady();
    child.unref();
  }

  async #becomeReady(): Promise<void> {
    const timeout = this.#spec.readyTimeout ?? 120_000;
    const deadline = performance.now() + timeout;
    while (this.running) {
      if (await this.#spec.ready().catch(() => false)) return;
      if (performance.now() > deadline) {
        await this.kill();
        throw new Error(`${this.name} did not become ready in ${timeout / 1000} s:\n${this.tail()}`);
      }
      await delay(25);
    }
    throw new Error(`${this.name} ended at its start:\n${this.tail()}`);
  }

  pause(): void {
    const { pid } = this;
    process.kill(pid, "SIGSTOP");
    // A thread that runs on another core goes on for a moment, and may still answer.
    const until = performance.now() + PAUSE_LIMIT_MS;
    while (!hasStopped(pid)) if (performance.now() > until) throw new Error(`${this.name} does not stand still`);
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (!this.running) return;
    this.#child?.ref();
    process.kill(this.pid, signal);
    await this.#exited;
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    if (this.stopGrace === 0) return this.kill();
    // A stopped process sees no SIGTERM.
    this.resume();
    const ended = this.kill("SIGTERM");
    const giveUp = new AbortController();
    const late = delay(this.stopGrace, true, { signal: giveUp.signal }).catch(() => false);
    if (await Promise.race([ended.then(() => false), late])) await this.kill();
    giveUp.abort();
    await ended;
  }

  tail(lines = 30): string {
    if (!existsSync(this.#spec.logFile)) return "";
    return readFileSync(this.#spec.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }
}

import { releasePorts, reservePorts } from "./ports.ts";
import { type ManagedProcess, type ProcessSpec, prepareProcess } from "./process.ts";
import { forgetPid, keepDirectory, makeTemporaryDirectory, removeTemporaryDirectory } from "./supervisor.ts";

/** What outlives us after {@link Scope.release}, for whoever ends it later. */
export interface Resources {
  readonly processes: readonly Pick<ManagedProcess, "name" | "pid" | "stopGrace">[];
  readonly directories: readonly string[];
}

/** The processes, directories and ports of servers that are stopped together. */
export class Scope {
  readonly #processes: ManagedProcess[] = [];
  readonly #directories: string[] = [];
  readonly #ports: number[] = [];
  readonly #children: Scope[] = [];
  readonly #cleanups: (() => Promise<void>)[] = [];

  /** A part that can be stopped by itself, and is with the whole. */
  child(): Scope {
    const child = new Scope();
    this.#children.push(child);
    return child;
  }

  /**
   * Starts a server and waits until it serves.
   * @throws Error with the end of its log when it ends or does not become ready in time
   */
  async start(spec: ProcessSpec): Promise<ManagedProcess> {
    const process = prepareProcess(spec);
    this.#processes.push(process);
    await process.start();
    return process;
  }

  /** An empty directory under the system's temporary one. */
  directory(name: string): string {
    const directory = makeTemporaryDirectory(name);
    this.#directories.push(directory);
    return directory;
  }

  /** Free ports, see {@link reservePorts}. */
  async ports(count: number, offsets: readonly number[] = []): Promise<number[]> {
    const ports = await reservePorts(count, offsets);
    this.#ports.push(...ports.flatMap((port) => [port, ...offsets.map((offset) => port + offset)]));
    return ports;
  }

  /** Runs once every process was told to end and before the data is removed; not at all after {@link release}. */
  onStop(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  /** Ends every process, at the same time, then removes the data. */
  async stop(): Promise<void> {
    const parts = [...this.#processes.splice(0), ...this.#children.splice(0)];
    await Promise.all(parts.map((part) => part.stop()));
    for (const cleanup of this.#cleanups.splice(0)) await cleanup();
    releasePorts(this.#ports.splice(0));
    for (const directory of this.#directories.splice(0)) removeTemporaryDirectory(directory);
  }

  /** From now on everything outlives this process. */
  release(): Resources {
    const processes = this.#processes.map(({ name, pid, stopGrace }) => ({ name, pid, stopGrace }));
    for (const { pid } of processes) forgetPid(pid);
    for (const directory of this.#directories) keepDirectory(directory);
    const parts = this.#children.map((child) => child.release());
    return {
      processes: [...processes, ...parts.flatMap((part) => part.processes)],
      directories: [...this.#directories, ...parts.flatMap((part) => part.directories)],
    };
  }
}

/**
 * Builds servers in a scope of their own, a part of `parent` if there is one.
 * @throws what `build` throws, after stopping what it has started
 */
export async function inScope<Result>(
  parent: Scope | undefined,
  build: (scope: Scope) => Promise<Result>,
): Promise<Result> {
  const scope = parent?.child() ?? new Scope();
  try {
    return await build(scope);
  } catch (error) {
    await scope.stop();
    throw error;
  }
}

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest";

import type { CandidateArguments, CandidateNews } from "./kube-election-candidate.ts";

const program = fileURLToPath(new URL("./kube-election-candidate.ts", import.meta.url));
const waiting = { timeout: 60_000, interval: 10 };

/** A candidate in a process of its own. */
class CandidateProcess {
  readonly news: CandidateNews[] = [];
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;

  constructor(options: CandidateArguments) {
    const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
    this.child = child;
    this.exited = once(child, "exit");
    createInterface(child.stdout).on("line", (line) => this.news.push(JSON.parse(line) as CandidateNews));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for the `count`-th news of this kind. */
  async tells<W extends CandidateNews["what"]>(what: W, count = 1): Promise<Extract<CandidateNews, { what: W }>> {
    const found = (): CandidateNews | undefined => this.news.filter((news) => news.what === what)[count - 1];
    return (await vi.waitUntil(found, waiting)) as Extract<CandidateNews, { what: W }>;
  }
}

const processes: CandidateProcess[] = [];
let lease: { namespace: string; name: string };

beforeEach(() => {
  lease = { namespace: "default", name: `election-${randomUUID()}` };
});

afterEach(async () => {
  for (const { child, exited } of processes.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await exited;
  }
});

function join(identity: string, times: Partial<CandidateArguments> = {}): CandidateProcess {
  const candidate = new CandidateProcess({ kubeconfig: inject("env").kubeconfig, ...lease, identity, ...times });
  processes.push(candidate);
  return candidate;
}

/** When the fences were open, first to last look, in order. */
function openTimes(candidates: readonly CandidateProcess[]): { since: number; until: number }[] {
  const times = candidates.flatMap(({ news }) => news.filter((item) => item.what === "wasOpen"));
  return times.sort((a, b) => a.since - b.since);
}

function expectNoOverlap(candidates: readonly CandidateProcess[]): void {
  const times = openTimes(candidates);
  for (const [index, time] of times.entries()) {
    const next = times[index + 1];
    if (next !== undefined) expect(next.since).toBeGreaterThan(time.until);
  }
}

describe("two candidates in processes of their own", () => {
  const quick = { leaseDurationMs: 6_000, renewDeadlineMs: 5_000, retryPeriodMs: 500 };

  test("never have both fences open, however often the leader is stopped and continued", async () => {
    const pair = [join("a", quick), join("b", quick)] as const;
    await vi.waitUntil(() => pair.some(({ news }) => news.some(({ what }) => what === "started")), waiting);
    let leader: CandidateProcess = pair[0].news.some(({ what }) => what === "started") ? pair[0] : pair[1];
    for (let round = 1; round <= 2; round++) {
      const other = leader === pair[0] ? pair[1] : pair[0];
      const before = other.news.filter(({ what }) => what === "started").length;
      const spins = leader.news.filter(({ what }) => what === "spun").length;
      leader.signal("SIGUSR2");
      await leader.tells("spinning", spins + 1);
      leader.signal("SIGSTOP");
      await other.tells("started", before + 1);
      leader.signal("SIGCONT");
      const { pausedMs, openAfterPause } = await leader.tells("spun", spins + 1);
      // The very first look after the pause, with no turn of the event loop since before it.
      expect(pausedMs).toBeGreaterThan(quick.renewDeadlineMs);
      expect(openAfterPause).toBe(false);
      await leader.tells("stopped", leader.news.filter(({ what }) => what === "started").length);
      leader = other;
    }
    leader.signal("SIGTERM");
    await leader.exited;
    expect(openTimes(pair).length).toBeGreaterThanOrEqual(3);
    expectNoOverlap(pair);
  });

  test("hand over at SIGTERM long before the lease would have run out", async () => {
    const a = join("a", { leaseDurationMs: 120_000 });
    await a.tells("started");
    const b = join("b", { leaseDurationMs: 120_000 });
    await b.tells("leader");
    const toldAt = performance.now();
    a.signal("SIGTERM");
    await b.tells("started");
    // At the longest a retry period with all its jitter, and far from the two minutes of the lease.
    expect(performance.now() - toldAt).toBeLessThan(60_000);
    expect(await a.exited).toEqual([0, null]);
    expect(a.news.map(({ what }) => what)).toEqual(["leader", "started", "stopped", "wasOpen"]);
    b.signal("SIGTERM");
    await b.exited;
    expectNoOverlap([a, b]);
  });

  test("take over from one that was killed, once its lease has run out", async () => {
    const a = join("a", quick);
    const { at } = await a.tells("started");
    const b = join("b", quick);
    await b.tells("leader");
    a.signal("SIGKILL");
    const taken = await b.tells("started");
    expect(taken.at - at).toBeGreaterThan(quick.leaseDurationMs);
    expect(b.news.filter(({ what }) => what === "leader")).toMatchObject([{ leader: "a" }, { leader: "b" }]);
  });
});

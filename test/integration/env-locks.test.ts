import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { tryLock, withLock } from "../env/lock.ts";
import { birthOf } from "../env/pid.ts";
import { releasePorts, reservePorts } from "../env/ports.ts";

let file: string;

beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), "hygeia-test-"));
  file = join(directory, "lock");
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
});

test("a lock is held by one at a time", async () => {
  const order: string[] = [];
  const waits: string[] = [];
  const hold = (name: string): Promise<void> =>
    withLock(
      file,
      () => waits.push(name),
      async () => {
        order.push(`${name} in`);
        expect(tryLock(file)).toBe(false);
        await Promise.resolve();
        order.push(`${name} out`);
      },
    );
  await Promise.all([hold("a"), hold("b")]);
  expect(order).toEqual(["a in", "a out", "b in", "b out"]);
  expect(waits).toEqual(["b"]);
});

describe("a lock that was left behind", () => {
  const parent = process.ppid;
  const cases: Record<string, { content: string; taken: boolean }> = {
    "by a process that is dead is taken over": { content: `${spawnSync("true").pid} 1`, taken: true },
    "by a dead process whose id is in use again is taken over": { content: `${parent} 1`, taken: true },
    "is not left behind when its process lives": { content: `${parent} ${birthOf(parent)}`, taken: false },
    "is respected while it is being written": { content: "", taken: false },
  };
  test.each(Object.entries(cases))("%s", (_, { content, taken }) => {
    writeFileSync(file, content);
    expect(tryLock(file)).toBe(taken);
    expect(readFileSync(file, "utf8")).toBe(taken ? `${process.pid} ${birthOf(process.pid)}` : content);
  });
});

test("reserved ports are all different, and none is one that somebody listens on", async () => {
  const ports = await reservePorts(50);
  onTestFinished(() => releasePorts(ports));
  const more = await reservePorts(20, [1, 2]);
  onTestFinished(() => releasePorts(more.flatMap((port) => [port, port + 1, port + 2])));
  const all = [...ports, ...more.flatMap((port) => [port, port + 1, port + 2])];
  expect(new Set(all).size).toBe(110);

  const [first = 0, ...rest] = ports;
  releasePorts([first]);
  const server = createServer().listen(first, "127.0.0.1");
  onTestFinished(() => {
    server.close();
  });
  await once(server, "listening");
  expect((server.address() as AddressInfo).port).toBe(first);
  const again = await reservePorts(50);
  onTestFinished(() => releasePorts(again));
  expect(again).not.toContain(first);
  expect(again.filter((port) => rest.includes(port))).toEqual([]);
});

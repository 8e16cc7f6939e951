import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { tryLock, unlock, withLock } from "../env/lock.ts";
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

test("a lock that a dead process left behind is taken over, one of a living process is not", () => {
  const dead = spawnSync(process.execPath, ["--version"]).pid;
  writeFileSync(file, String(dead));
  expect(tryLock(file)).toBe(true);
  expect(readFileSync(file, "utf8")).toBe(String(process.pid));
  unlock(file);
  writeFileSync(file, String(process.ppid));
  expect(tryLock(file)).toBe(false);
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

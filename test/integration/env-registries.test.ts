import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { request } from "undici";
import { describe, expect, onTestFinished, test } from "vitest";

import { startConsul, startNacos } from "../env/index.ts";
import { isAlive } from "../env/pid.ts";
import { findNacos } from "../env/programs.ts";

const execute = promisify(execFile);

interface Description {
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly consul: string;
  readonly etcd: string;
  readonly nacos?: string;
  readonly pids: Readonly<Record<string, number>>;
}

async function json(url: string, method: "GET" | "PUT" | "POST" = "GET", body?: object): Promise<unknown> {
  const response = await request(url, { method, body: body === undefined ? null : JSON.stringify(body) });
  const text = await response.body.text();
  return text === "" ? undefined : JSON.parse(text);
}

const nacosIsThere = await findNacos().then(
  () => true,
  () => false,
);

describe("npm run env", () => {
  const cli = fileURLToPath(new URL("../env/cli.ts", import.meta.url));

  test("leaves the servers running until they are taken down, and says so when they are up already", async () => {
    const cwd = await mkdtemp(join(tmpdir(), "hygeia-test-"));
    const run = (...args: string[]) => execute(process.execPath, [cli, ...args], { cwd });
    onTestFinished(async () => {
      await run("down");
      await rm(cwd, { recursive: true, force: true });
    });
    const file = join(cwd, "env.json");
    const registries = ["consul", "etcd", ...(nacosIsThere ? ["nacos"] : [])];
    await run("up", "--registries", registries.join(), "--out", file);
    const up = JSON.parse(await readFile(file, "utf8")) as Description;
    expect(Object.keys(up).sort()).toEqual([...registries, "kubeconfig", "kubectl", "pids"].sort());
    expect(Object.values(up.pids).every(isAlive)).toBe(true);
    const { stdout } = await execute(up.kubectl, [`--kubeconfig=${up.kubeconfig}`, "get", "namespaces"]);
    expect(stdout).toContain("kube-system");
    expect(await json(`${up.etcd}/health`)).toMatchObject({ health: "true" });
    expect(await json(`${up.consul}/v1/catalog/nodes`)).toMatchObject([{ Node: "consul-0" }]);
    if (up.nacos !== undefined)
      expect(await json(`${up.nacos}/nacos/v1/ns/instance/list?serviceName=web`)).toMatchObject({ hosts: [] });

    await expect(run("up")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("are up already") as string,
    });
    await run("down");
    expect(Object.values(up.pids).some(isAlive)).toBe(false);
    expect(existsSync(dirname(up.kubeconfig))).toBe(false);
    expect((await run("down")).stderr).toContain("nothing is up");
  });

  test("explains itself when it does not understand", async () => {
    await expect(execute(process.execPath, [cli, "up", "--registries", "zookeeper"])).rejects.toMatchObject({
      code: 2,
      stderr: "unknown registries: zookeeper; --help shows all flags\n",
    });
  });
});

test("Consul keeps its catalog through a crash", async () => {
  const consul = await startConsul();
  onTestFinished(() => consul.stop());
  await json(`${consul.url}/v1/agent/service/register`, "PUT", {
    ID: "web-1",
    Name: "web",
    Address: "10.0.0.1",
    Port: 80,
  });
  await consul.process.kill();
  await consul.process.start();
  const find = (): Promise<unknown> => json(`${consul.url}/v1/catalog/service/web?consistent`);
  await expect.poll(find, { timeout: 30_000 }).toMatchObject([{ ServiceID: "web-1" }]);
});

test.skipIf(!nacosIsThere)("Nacos registers an instance and lists it", async () => {
  const nacos = await startNacos();
  onTestFinished(() => nacos.stop());
  const instances = `${nacos.url}/nacos/v1/ns/instance`;
  const answer = await request(`${instances}?serviceName=web&ip=10.0.0.1&port=80`, { method: "POST" });
  expect(await answer.body.text()).toBe("ok");
  expect(await json(`${instances}/list?serviceName=web`)).toMatchObject({ hosts: [{ ip: "10.0.0.1", port: 80 }] });
});

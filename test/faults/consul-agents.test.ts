/** Entries that Consul's agents keep, through the whole operator: what is said of those it can not remove, and comebacks. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ConsulAgent, ConsulServer } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { ConsulApi } from "../support/consul-api.ts";
import { ConsulStage } from "../support/consul-stage.ts";
import { untilCondition, untilEvent } from "../support/operator-seen.ts";

/** Serf takes its time to call an agent dead, and a returned one to tell what it keeps, milliseconds. */
const SERF_WITHIN = 90_000;
/** An agent out of reach is tried again after 5 s at first, and after 60 s at most, milliseconds. */
const TRIED_WITHIN = 90_000;
/** How often everything is to be judged again. */
const AGAIN = 5;

let stage: ConsulStage;
let policy: { readonly kind: "RegistrationPolicy"; readonly name: string };
/** Nobody says how to reach it. */
let lonely: ConsulAgent;
/** One of the Registry's endpoints, over the proxy. */
let agent: ConsulAgent;
let mortal: ConsulAgent;
let proxy: TcpProxy;

beforeAll(async () => {
  const endpoints = async ({ agents }: ConsulServer): Promise<readonly string[]> => {
    [lonely, agent, mortal] = agents as [ConsulAgent, ConsulAgent, ConsulAgent];
    const { hostname: host, port } = new URL(agent.url);
    proxy = await TcpProxy.start({ host, port: Number(port) });
    return [`http://127.0.0.1:${String(proxy.port)}`];
  };
  stage = await ConsulStage.start({ agents: 3, endpoints });
  policy = { kind: "RegistrationPolicy", name: stage.policy };
});

afterAll(async () => {
  await stage.stop();
  await proxy.stop();
});

/** A pod whose process registers itself at an agent. Without a check: nothing happens in Consul but what a test does. */
async function livingAt({ url }: ConsulAgent, id: string) {
  const service = { ID: id, Name: id, Port: 8080 };
  return await stage.living((Address) => new ConsulApi(url).put("/v1/agent/service/register", { ...service, Address }));
}

async function isKept({ url }: ConsulAgent, id: string): Promise<boolean> {
  return id in ((await new ConsulApi(url).get("/v1/agent/services")) as object);
}

/** What the report says of an entry, as soon as it names the registry's own reason to keep it. */
async function kept(id: string, reason: string) {
  return await stage.until(`the report says ${reason} of ${id}`, async () => {
    const found = (await stage.report())?.findings?.find((finding) => finding.id === id);
    return found?.removal?.reason === reason && found.blockedBy === "RemovalNotPossible" && found;
  });
}

describe("a zombie that a living agent keeps", () => {
  test("stays where nobody says how to reach that agent: report, condition and Event say so, and what to do", async () => {
    const pod = await livingAt(lonely, "kept");
    await stage.fixture.confirmDeath(pod);
    expect(await kept(`${lonely.node}/kept`, "AgentOwned")).toMatchObject({
      verdict: "Zombie",
      evidence: "Confirmed",
      action: "None",
      removal: { message: expect.stringMatching(/set spec\.consul\.agentPort, or name that agent/) as string },
    });
    const says = new RegExp(`^1 eviction waits: .* AgentOwned \\(1\\): the living agent of node ${lonely.node} keeps`);
    const blocked = { type: "EvictionBlocked", status: "True", reason: "RemovalNotPossible", says } as const;
    await untilCondition(stage.fixture.client, policy, blocked);
    await untilEvent(stage.fixture.client, policy, "EvictionBlockedByRemovalNotPossible", /AgentOwned/);
    expect(await isKept(lonely, "kept")).toBe(true);
    expect((await stage.report())?.evictions ?? []).toEqual([]);
  });

  test("stays while that agent can not be reached, with the reason, and leaves once it can", async () => {
    const pod = await livingAt(agent, "unreached");
    await proxy.refuse();
    await stage.fixture.confirmDeath(pod);
    expect(await kept(`${agent.node}/unreached`, "AgentUnreachable")).toMatchObject({
      verdict: "Zombie",
      action: "None",
      removal: { message: expect.stringMatching(/can not be reached: .*ECONNREFUSED/) as string },
    });
    const says = /AgentUnreachable \(1\): /;
    const blocked = { type: "EvictionBlocked", status: "True", reason: "RemovalNotPossible", says } as const;
    await untilCondition(stage.fixture.client, policy, blocked, TRIED_WITHIN);
    expect(await isKept(agent, "unreached")).toBe(true);
    await proxy.listen();
    await stage.until("the agent has forgotten it", async () => !(await isKept(agent, "unreached")), TRIED_WITHIN);
  });
});

describe("a zombie that a dead agent kept", () => {
  test("leaves the catalog, and when the agent is back with it, it is Resurrected, once, and stays", async () => {
    const id = `${mortal.node}/orphan`;
    const pod = await livingAt(mortal, "orphan");
    await mortal.process.kill();
    await stage.until("the servers call the agent dead", async () => (await serfHealth()) === "critical", SERF_WITHIN);
    await stage.fixture.confirmDeath(pod);
    await stage.until("it left the catalog", async () => !(await inCatalog()));
    await stage.until("a later read agreed", async () => (await resultOf(id)) === "Verified");
    const evictions = await evicted();
    await mortal.process.start();
    await stage.until("the agent has put it back", inCatalog, SERF_WITHIN);
    const finding = await stage.until("the report has it for a comeback", async () =>
      (await stage.report())?.findings?.find((found) => found.id === id && found.verdict === "Resurrected"),
    );
    expect(finding).toMatchObject({ reason: "CameBack", action: "None" });
    // "Verified" held until then, and no longer.
    await stage.until(
      "its eviction is told as one that did not last",
      async () => (await resultOf(id)) === "Resurrected",
    );
    await untilEvent(stage.fixture.client, policy, "InstanceResurrected", /orphan/);
    const judged = async (): Promise<number> => (await stage.operator.metrics()).sum("hygeia_judgements_total");
    const wanted = (await judged()) + AGAIN * 10;
    await stage.until("all were judged again and again", async () => (await judged()) >= wanted);
    expect(await evicted()).toBe(evictions);
    expect(await inCatalog()).toBe(true);
    expect(await isKept(mortal, "orphan")).toBe(true);
  });

  async function serfHealth(): Promise<string | undefined> {
    const path = `/v1/health/node/${mortal.node}?consistent`;
    const checks = (await stage.api.get(path)) as readonly { readonly CheckID: string; readonly Status: string }[];
    return checks.find(({ CheckID }) => CheckID === "serfHealth")?.Status;
  }

  async function inCatalog(): Promise<boolean> {
    return (await stage.api.services(mortal.node))?.includes("orphan") ?? false;
  }

  async function resultOf(id: string): Promise<string | undefined> {
    return (await stage.report())?.evictions?.find((eviction) => eviction.id === id)?.result;
  }

  /** Writes of the operator, however they ended. */
  async function evicted(): Promise<number> {
    return (await stage.operator.metrics()).sum("hygeia_evictions_total");
  }
});

import { afterEach, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { memoryAdapter } from "../../../test/support/memory-registry.ts";
import { MetricsReading } from "../../../test/support/operator-metrics.ts";
import { MemoryRegistry } from "../../registry/memory/registry.ts";
import { createLogger } from "../../telemetry/log.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import { collectRegistryGauges } from "./gauges.ts";
import { projectRegistry, type RegistryObject } from "./registry-object.ts";
import { Registries } from "./registry-set.ts";
import type { SecretData } from "./secrets.ts";

let stage: ReturnType<typeof setUp>;

afterEach(async () => {
  const closed = stage.registries.close();
  await stage.clock.advance(60_000);
  await closed;
});

/** Registries inside the process, and the gauges of them. */
function setUp() {
  const clock = new ManualClock();
  const server = new MemoryRegistry(clock);
  const secrets = new Map<string, SecretData>();
  const registries = new Registries({
    makeAdapter: (name) => ({ adapter: memoryAdapter(name, server, clock), reconfigure: () => undefined }),
    readSecret: (name) => Promise.resolve(secrets.get(name)),
    clusterUid: Promise.resolve("cluster"),
    clock,
    random: () => 0.5,
    log: createLogger({ level: "fatal" }),
  });
  const metrics = createMetrics({ version: "0" });
  collectRegistryGauges(registries, metrics, clock, 15_000);
  return { clock, server, secrets, registries, metrics };
}

function add(name: string, spec: object): RegistryObject {
  const object = projectRegistry({
    metadata: { name, uid: `uid-${name}`, generation: 1, resourceVersion: "1" },
    spec: { type: "Etcd", endpoints: ["http://127.0.0.1:2379"], etcd: { layouts: [{ layout: "GoMicro" }] }, ...spec },
  });
  stage.registries.apply([{ type: "Added", object, createdAfter: -Infinity }]);
  return object;
}

/** `REGISTRY: REASON VALUE` of every problem that a scrape shows. */
async function problems(): Promise<string[]> {
  const reading = new MetricsReading(await stage.metrics.render(), 0);
  return reading
    .samples("hygeia_registry_problem")
    .map(({ labels, value }) => `${labels["registry"] ?? ""}: ${labels["reason"] ?? ""} ${value}`);
}

const credentials = { secretRef: { name: "login" } };

test("a registry in trouble shows its reason alone, with no request ever made, and no series when that is over", async () => {
  stage = setUp();
  add("well", {});
  add("secretless", { credentials });
  add("misspelt", { type: "Zookeeper" });
  await stage.clock.advance(10);
  expect(await problems()).toEqual(["secretless: SecretNotFound 1", "misspelt: InvalidSpec 1"]);
  stage.secrets.set("login", new Map([["username", "u"]]));
  await stage.clock.advance(12_000);
  expect(await problems()).toEqual(["secretless: SecretKeyMissing 1", "misspelt: InvalidSpec 1"]);
  stage.secrets.set("login", new Map(Object.entries({ username: "u", password: "p" })));
  await stage.clock.advance(12_000);
  expect(await problems()).toEqual(["misspelt: InvalidSpec 1"]);
});

test("a registry that stops answering shows why until it answers again", async () => {
  stage = setUp();
  add("main", {});
  await stage.clock.advance(10);
  stage.server.down();
  await stage.clock.advance(2_000);
  expect(await problems()).toEqual(["main: Unreachable 1"]);
  stage.server.up();
  await stage.clock.advance(5_000);
  expect(await problems()).toEqual([]);
});

test("a Registry that is gone takes its problem along", async () => {
  stage = setUp();
  const object = add("secretless", { credentials });
  await stage.clock.advance(10);
  expect(await problems()).toHaveLength(1);
  stage.registries.apply([{ type: "Deleted", object, final: true }]);
  expect(await problems()).toEqual([]);
});

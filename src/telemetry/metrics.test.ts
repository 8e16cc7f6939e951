import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { createMetrics } from "./metrics.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The value on the line of one series, undefined when there is no such line. */
function series(text: string, line: string): number | undefined {
  const found = text.split("\n").find((candidate) => candidate.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

describe("metrics", () => {
  test("two registries in one process do not share anything", async () => {
    const [first, second] = [createMetrics({ version: "1" }), createMetrics({ version: "2" })];
    first.instances.judgements.inc({ verdict: "Zombie" });
    expect(series(await first.render(), 'hygeia_judgements_total{verdict="Zombie"}')).toBe(1);
    expect(series(await second.render(), 'hygeia_judgements_total{verdict="Zombie"}')).toBeUndefined();
  });

  test("every metric says what it is, and ours begin with our name", async () => {
    const text = await createMetrics({ version: "1" }).render();
    const helps = text.split("\n").filter((line) => line.startsWith("# HELP "));
    expect(helps.length).toBeGreaterThan(30);
    for (const help of helps) {
      expect(help).toMatch(
        /^# HELP (hygeia|workqueue|controller_runtime|leader_election|rest_client)_[a-z_]+ [A-Z0-9].{8,}\.$/,
      );
    }
  });

  test("the build is told", async () => {
    const text = await createMetrics({ version: "1.2.3", commit: "1a2b3c4" }).render();
    const { node } = process.versions;
    expect(series(text, `hygeia_build_info{version="1.2.3",commit="1a2b3c4",node="${node}"}`)).toBe(1);
  });

  test("a call to the API server is counted and timed", async () => {
    const metrics = createMetrics({ version: "1" });
    metrics.restClient.completed({ code: "<error>", method: "GET", host: "k8s:6443", seconds: 0.02 });
    const text = await metrics.render();
    expect(series(text, 'rest_client_requests_total{code="<error>",method="GET",host="k8s:6443"}')).toBe(1);
    expect(series(text, 'rest_client_request_duration_seconds_sum{verb="GET",host="k8s:6443"}')).toBe(0.02);
  });

  test("collectors run before a scrape until they are taken out, and one that throws spoils nothing", async () => {
    const metrics = createMetrics({ version: "1" });
    let pods = 1;
    metrics.collect(() => {
      throw new Error("not now");
    });
    const remove = metrics.collect(() => metrics.cluster.pods.set(pods));
    const first = await metrics.render();
    expect(series(first, "hygeia_pods")).toBe(1);
    expect(series(first, "hygeia_collector_errors_total")).toBe(1);
    remove();
    pods = 2;
    expect(series(await metrics.render(), "hygeia_pods")).toBe(1);
  });

  test("an object that is gone takes its series along, histograms included, and no other's", async () => {
    const metrics = createMetrics({ version: "1" });
    for (const registry of ["a", "b"]) {
      metrics.registry.instances.set({ registry }, 5);
      metrics.evictions.total.inc({ policy: "p", registry, class: "Confirmed", result: "Done" });
      metrics.evictions.latency.observe({ registry, class: "Confirmed" }, 0.03);
    }
    await metrics.forget("registry", "a");
    const text = await metrics.render();
    expect(text).not.toContain('registry="a"');
    expect(series(text, 'hygeia_registry_instances{registry="b"}')).toBe(5);
    expect(series(text, 'hygeia_eviction_latency_seconds_count{registry="b",class="Confirmed"}')).toBe(1);
  });

  test("the process is measured when asked for", async () => {
    expect(await createMetrics({ version: "1", processMetrics: true }).render()).toContain(
      "process_resident_memory_bytes",
    );
  });

  test("there is one of each name that the documentation and the alerts speak of", () => {
    const { descriptions } = createMetrics({ version: "1" });
    const names = new Set(
      descriptions.flatMap(({ name }) => ["", "_sum", "_count", "_bucket"].map((part) => name + part)),
    );
    const files = [...globSync("{README.md,docs/**/*.md,config/**/*.yaml}", { cwd: ROOT })];
    const named = files.flatMap(
      (file) => readFileSync(join(ROOT, file), "utf8").match(/\bhygeia_[a-z_]*[a-z]\b/g) ?? [],
    );
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((name) => !names.has(name))).toEqual([]);
  });
});

import { expect, test } from "vitest";

import type { NacosInstance } from "./model.ts";
import { Splits } from "./splits.ts";

const instance: NacosInstance = {
  group: "DEFAULT_GROUP",
  service: "web",
  cluster: "DEFAULT",
  ip: "10.1.0.1",
  port: 80,
  weight: 1,
  healthy: true,
  enabled: true,
  ephemeral: true,
  metadata: {},
  beatTimeout: 15_000,
  deleteTimeout: 30_000,
};
const side = (endpoint: string, ...instances: readonly NacosInstance[]) => ({ endpoint, instances });

test("servers that list the same agree, also where they judge health differently", () => {
  const splits = new Splits();
  splits.compare([side("a", instance), side("b", { ...instance, healthy: false })], 1);
  expect(splits.oldest).toBeUndefined();
});

test.each([
  ["that one of them lacks", [], "a lists it and b does not"],
  ["that they list differently", [{ ...instance, enabled: false }], "a and b list it with other content"],
] as const)("a disagreement about an instance %s is as old as its first notice", (_, others, message) => {
  const splits = new Splits();
  splits.compare([side("a", instance), side("b", ...others)], 1);
  splits.compare([side("a", instance), side("b", ...others)], 5);
  expect(splits.oldest).toMatchObject({ since: 1, message });
  expect(splits.size).toBe(1);
  splits.compare([side("a", instance), side("b", instance)], 6);
  expect(splits.oldest).toBeUndefined();
  splits.compare([side("a", instance), side("b", ...others)], 7);
  expect(splits.oldest?.since).toBe(7);
});

test("one that only a further server lists counts too", () => {
  const splits = new Splits();
  splits.compare([side("a", instance), side("b", instance), side("c", instance, { ...instance, port: 81 })], 1);
  expect(splits.oldest).toMatchObject({ instance: { port: 81 }, message: "c lists it and a does not" });
});

import { describe, expect, test } from "vitest";
import { parseRegistrationPolicy, parseRegistry } from "./parse.ts";

const metadata = { name: "main" };
const registrySpec = {
  type: "Etcd",
  endpoints: ["https://etcd-0.infra.svc:2379"],
  etcd: { layouts: [{ layout: "Kratos" }] },
};

function registry(spec: object): unknown {
  return { apiVersion: "hygeia.dev/v1alpha1", kind: "Registry", metadata, spec };
}

function policy(spec: object): unknown {
  return { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", metadata, spec };
}

describe("parseRegistry", () => {
  test("fills in every default, nested ones too", () => {
    const parsed = parseRegistry(registry({ ...registrySpec, tls: { caSecretRef: { name: "ca" } } }));
    expect(parsed).toMatchObject({
      ok: true,
      object: {
        spec: {
          requestTimeout: "3s",
          breaker: { slowAfter: "200ms", timeouts: 3 },
          ownership: { podCIDRs: ["Auto"] },
          etcd: { recordPrefix: "/hygeia" },
          tls: { caSecretRef: { name: "ca", key: "ca.crt" } },
        },
      },
    });
  });

  test("leaves the object it was given alone", () => {
    const given = registry(registrySpec);
    const before = structuredClone(given);
    parseRegistry(given);
    expect(given).toEqual(before);
  });

  test("passes status and metadata through unchecked: a status of an older version is overwritten, not refused", () => {
    const status = { mode: "Sleeping" };
    const parsed = parseRegistry({ ...(registry(registrySpec) as object), status });
    expect(parsed).toMatchObject({ ok: true, object: { status, metadata } });
  });

  const refused: Record<string, [spec: object, field: string, message: RegExp]> = {
    "a type of a later version": [{ ...registrySpec, type: "Zookeeper" }, "spec.type", /must be one of Consul, Etcd/],
    "a missing list": [{ type: "Etcd" }, "spec.endpoints", /must be set/],
    "an item that is too long": [
      { ...registrySpec, endpoints: ["http://a:1", `http://${"a".repeat(300)}:1`] },
      "spec.endpoints[1]",
      /must NOT have more than 300 characters/,
    ],
    "a duration without unit": [
      { ...registrySpec, breaker: { slowAfter: "200" } },
      "spec.breaker.slowAfter",
      /must be a duration such as 200ms, 15s or 1h30m/,
    ],
    "a value of a map": [
      { ...registrySpec, ownership: { requiredMetadata: { "a/b": 1 } } },
      "spec.ownership.requiredMetadata.a/b",
      /must be string/,
    ],
    "a layout nobody knows": [
      { ...registrySpec, etcd: { layouts: [{ layout: "Kratos" }, { layout: "Eureka" }] } },
      "spec.etcd.layouts[1].layout",
      /must be one of GoMicro, GoZero/,
    ],
  };
  test.each(Object.entries(refused))("names the field: %s", (_, [spec, field, message]) => {
    const parsed = parseRegistry(registry(spec));
    expect(parsed).toMatchObject({
      ok: false,
      problems: [{ field, message: expect.stringMatching(message) as string }],
    });
  });

  test("names every field that is wrong, not only the first", () => {
    const parsed = parseRegistry(registry({ ...registrySpec, requestTimeout: "soon", breaker: { timeouts: 0 } }));
    const fields = parsed.ok ? [] : parsed.problems.map((problem) => problem.field);
    expect(fields.toSorted()).toEqual(["spec.breaker.timeouts", "spec.requestTimeout"]);
  });

  test.each([undefined, null, "text", [], { kind: "Registry" }])("refuses %j without throwing", (value) => {
    expect(parseRegistry(value).ok).toBe(false);
  });

  test("refuses an object of another kind", () => {
    expect(parseRegistry(policy({ registration: { registries: [{ name: "main" }] } }))).toMatchObject({ ok: false });
  });
});

describe("parseRegistrationPolicy", () => {
  test("the defaults are the careful ones: audit only, wait for the end, small budget", () => {
    expect(parseRegistrationPolicy(policy({ registration: { registries: [{ name: "main" }] } }))).toMatchObject({
      ok: true,
      object: {
        spec: {
          mode: "Audit",
          priority: 0,
          match: {},
          registration: {
            registries: [{ name: "main", role: "Primary" }],
            zombies: {
              action: "Evict",
              terminating: "Wait",
              absentFor: "2m",
              minInstances: 0,
              budget: { evictionsPerSecond: 200, burst: 400, unexplainedPercentPerMinute: 15 },
            },
          },
        },
      },
    });
  });

  test.each([8080, "grpc"])("the service's port is a number or a name: %j", (port) => {
    const service = { from: "Fixed", value: "greeter", port };
    expect(
      parseRegistrationPolicy(policy({ registration: { registries: [{ name: "main" }], service } })),
    ).toMatchObject({
      ok: true,
      object: { spec: { registration: { service: { port } } } },
    });
  });

  test("two objects do not share their defaults", () => {
    const first = parseRegistrationPolicy(policy({ registration: { registries: [{ name: "main" }] } }));
    const second = parseRegistrationPolicy(policy({ registration: { registries: [{ name: "main" }] } }));
    if (!first.ok || !second.ok) throw new Error("both fit the schema");
    const [one, other] = [first, second].map(({ object }) => object.spec.registration?.zombies.budget);
    if (one === undefined) throw new Error("there is a registration");
    one.burst = 1;
    expect(other?.burst).toBe(400);
  });
});

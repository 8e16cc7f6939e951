import { parseEndpoint } from "../../src/registry/endpoint.ts";
import type { InstanceRecord } from "../../src/registry/port.ts";

/** A record at these endpoints, as an etcd adapter would list it; what is not said is as usual. */
export function recordAt(endpoints: readonly string[], fields: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    registry: "main",
    id: `/services/shop/${endpoints.join(",")}`,
    service: "shop",
    instance: "i-1",
    endpoints: endpoints.map((text) => {
      const endpoint = parseEndpoint(text);
      if (endpoint === undefined) throw new Error(`${text} is no endpoint`);
      return endpoint;
    }),
    format: "Kratos",
    metadata: {},
    version: "1.100.7",
    seenAt: 0,
    writtenAfter: -Infinity,
    touchedAfter: -Infinity,
    ttlMs: 0,
    managedBy: undefined,
    quarantined: false,
    removal: { effective: "Yes" },
    ...fields,
  };
}

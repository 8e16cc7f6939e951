import { parseEndpoint } from "../../endpoint.ts";
import { type Decoded, type Entry, type IgnoredReason, type Layout, segmentsOf, textOf } from "./layout.ts";

/** The largest int64. */
const MAX_ID = 9_223_372_036_854_775_807n;

/** etcd puts the member id into the upper 16 bits of a lease id; ids that people choose are shorter than this. */
const LEASE_ID_DIGITS = 16;

/**
 * go-zero zrpc: `<Etcd.Key>/<id>`, the value plain `host:port`. The id is the lease's, unless the application set its
 * own (`Etcd.ID`, a small number).
 */
export const goZero: Layout = {
  name: "GoZero",
  defaultPrefix: undefined,
  ttlMs: 10_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const segments = segmentsOf(entry.rest);
    const id = segments?.at(-1);
    if (id === undefined || !/^[1-9]\d{0,18}$/.test(id) || BigInt(id) > MAX_ID) return "UnknownKey";
    const address = textOf(entry.value);
    if (address === undefined) return "InvalidValue";
    if (id.length >= LEASE_ID_DIGITS && id !== entry.lease) return "LeaseMismatch";
    const endpoint = parseEndpoint(address);
    if (endpoint === undefined || endpoint.port === 0) return "InvalidAddress";
    return {
      service: entry.key.slice(0, -id.length - 1),
      instance: id,
      endpoints: [endpoint],
      metadata: {},
    };
  },
};

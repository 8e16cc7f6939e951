import { parseEndpoint } from "../../endpoint.ts";
import { type Decoded, type Entry, type IgnoredReason, type Layout, segmentsOf } from "./layout.ts";
import { bounded } from "./metadata.ts";

/** What stands beside the providers of an interface. */
const OTHER_CATEGORIES = new Set(["consumers", "routers", "configurators"]);

/** URL schemes of rules and placeholders, which older versions also put under providers. */
const NOT_A_PROTOCOL = new Set(["consumer", "provider", "route", "condition", "script", "override", "absent", "empty"]);

/**
 * Dubbo's interface level: `/<group>/<interface>/providers/<escaped URL>`, the value empty, everything in the key. The
 * directory keys above it have an empty value too, and stay for ever.
 */
export const dubboInterface: Layout = {
  name: "DubboInterface",
  defaultPrefix: "/dubbo",
  ttlMs: 30_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const segments = segmentsOf(entry.rest);
    if (segments === undefined || segments.length > 3) return "UnknownKey";
    const [escapedName = "", category, escapedUrl] = segments;
    if (category !== undefined && OTHER_CATEGORIES.has(category)) return "NotAProvider";
    // Values at these depths are metadata reports: /dubbo/<application>/<revision>, /dubbo/mapping/<interface>.
    if (category !== "providers" && (category !== undefined || entry.value.length > 0)) return "UnknownKey";
    if (category === undefined || escapedUrl === undefined) return "Directory";
    if (entry.value.length > 0) return "InvalidValue";
    const name = queryUnescape(escapedName);
    const url = queryUnescape(escapedUrl);
    const parts = url === undefined ? null : /^([a-z][a-z0-9+.-]*):\/\/([^/?#@]+)\/([^?#]*)(?:\?([^#]*))?$/i.exec(url);
    if (name === undefined || parts === null) return "UnknownKey";
    const [, scheme = "", authority = "", , query = ""] = parts;
    if (NOT_A_PROTOCOL.has(scheme.toLowerCase())) return "NotAProvider";
    const parameters = new URLSearchParams(query);
    if (parameters.getAll("interface").some((other) => other !== name)) return "Mismatch";
    if (parameters.getAll("category").some((other) => other !== "providers")) return "NotAProvider";
    const endpoint = parseEndpoint(authority);
    if (endpoint === undefined || endpoint.port === 0) return "InvalidAddress";
    return { service: name, instance: authority, endpoints: [endpoint], metadata: bounded(parameters) };
  },
};

/** The inverse of Go's url.QueryEscape. */
function queryUnescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

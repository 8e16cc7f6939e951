import { describe, expect, it } from "vitest";

import { connectionError } from "../connection-error.ts";
import { RegistryError } from "../errors.ts";
import { isLost, refusalError } from "./status.ts";

const refusals: Record<string, readonly [status: number, text: string, code: string]> = {
  "an unknown token": [403, "ACL not found", "Unauthenticated"],
  "a token without the right": [
    403,
    "Permission denied: token with AccessorID 'x' lacks 'key:write'",
    "PermissionDenied",
  ],
  "a cluster without a leader": [500, "No cluster leader", "NoLeader"],
  "a leader that steps down in the middle": [500, "leadership lost while committing log", "NoLeader"],
  "an agent that has lost its servers": [500, "No known Consul servers", "Unreachable"],
  "a server that is told to be quiet": [429, "rate limit", "Unreachable"],
  "a proxy without a server behind it": [502, "<html>", "Unreachable"],
  "a request that is too long": [413, "Request body too large", "RequestTooLong"],
  "a server that is no Consul": [404, "not found here", "NotUnderstood"],
};

describe("an answer that is no success", () => {
  it.each(Object.entries(refusals))("by %s has its code", (_, [status, text, code]) => {
    expect(refusalError({ status, text }, "kv.get", "http://a:8500")).toMatchObject({ code });
  });

  it("is quoted in one bounded line", () => {
    const { message } = refusalError({ status: 400, text: `a\n${"b".repeat(500)}` }, "kv.get", "http://a:8500");
    expect(message).not.toContain("\n");
    expect(message.length).toBeLessThan(300);
  });
});

describe("a failure", () => {
  it("may have been carried out where an answer is missing", () => {
    const reset = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
    expect(isLost(connectionError(reset, "x", "y"))).toBe(true);
    expect(isLost(new RegistryError("PermissionDenied", ""))).toBe(false);
  });
});

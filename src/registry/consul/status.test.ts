import { describe, expect, it } from "vitest";

import { RegistryError } from "../errors.ts";
import { connectionError, isLost, neverConnected, refusalError } from "./status.ts";

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
  "a request that is too long": [413, "Request body too large", "TooLarge"],
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

function failure(code: string, message = ""): Error {
  return Object.assign(new Error(message), { code });
}

const failures: Record<string, readonly [Error, string]> = {
  "a refused connection": [failure("ECONNREFUSED"), "Unreachable"],
  "a broken connection": [failure("ECONNRESET", "socket hang up"), "Unreachable"],
  "a name without an address": [failure("ENOTFOUND"), "Unreachable"],
  "an expired certificate": [failure("CERT_HAS_EXPIRED"), "TLSFailed"],
  "a certificate for another name": [failure("ERR_TLS_CERT_ALTNAME_INVALID"), "TLSFailed"],
  "an unknown authority": [failure("SELF_SIGNED_CERT_IN_CHAIN"), "TLSFailed"],
  "a missing client certificate": [failure("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"), "TLSFailed"],
  "something that speaks no TLS": [failure("EPROTO", "wrong version number"), "TLSFailed"],
  "an answer that is no JSON": [Object.assign(new Error("Unexpected token"), { isCodec: true }), "NotUnderstood"],
};

describe("a failure", () => {
  it.each(Object.entries(failures))("by %s has its code", (_, [error, code]) => {
    expect(connectionError(error, "kv.get", "http://a:8500")).toMatchObject({ code });
  });

  it("may have been carried out where an answer is missing, but not without any connection", () => {
    const reset = connectionError(failure("ECONNRESET"), "x", "y");
    const refused = connectionError(failure("ECONNREFUSED"), "x", "y");
    expect([reset, refused].map(isLost)).toEqual([true, true]);
    expect([reset, refused].map(neverConnected)).toEqual([false, true]);
    expect(isLost(new RegistryError("PermissionDenied", ""))).toBe(false);
  });
});

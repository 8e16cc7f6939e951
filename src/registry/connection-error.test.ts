import { describe, expect, it } from "vitest";

import { connectionError, neverConnected } from "./connection-error.ts";

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

describe("the failure of a connection", () => {
  it.each(Object.entries(failures))("by %s has its code", (_, [error, code]) => {
    expect(connectionError(error, "kv.get", "http://a:8500")).toMatchObject({ code });
  });

  it("tells whether there ever was one", () => {
    const reset = connectionError(failure("ECONNRESET"), "x", "y");
    const refused = connectionError(failure("ECONNREFUSED"), "x", "y");
    expect([reset, refused].map(neverConnected)).toEqual([false, true]);
  });
});

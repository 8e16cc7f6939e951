import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { isAuthDisabled, registryErrorOf, watchErrorOf } from "./status.ts";

function grpcError(code: status, details: string): Error {
  return Object.assign(new Error(`${String(code)}: ${details}`), { code, details });
}

const noConnection = (cause: string): string => `No connection established. Last error: ${cause}. Resolution note: `;

describe("registryErrorOf", () => {
  const cases: Record<string, [code: status, details: string, expected: string, message: RegExp]> = {
    "a refused connection": [
      status.UNAVAILABLE,
      noConnection("Error: connect ECONNREFUSED 127.0.0.1:2379"),
      "Unreachable",
      /put at http:\/\/e:1: no connection \(connect ECONNREFUSED 127\.0\.0\.1:2379\)$/,
    ],
    "a name that does not resolve": [
      status.UNAVAILABLE,
      "Name resolution failed for target dns:no.such.invalid:2379",
      "Unreachable",
      /Name resolution failed/,
    ],
    "a call that was cancelled by the other side": [status.CANCELLED, "Call cancelled", "Unreachable", /closed/],
    "a stream reset by a dying server": [
      status.INTERNAL,
      "Received RST_STREAM with code 2",
      "Unreachable",
      /connection broke/,
    ],
    "our deadline": [status.DEADLINE_EXCEEDED, "Deadline exceeded", "TimedOut", /no answer in time/],
    "the server's own deadline": [
      status.UNAVAILABLE,
      "etcdserver: request timed out, possibly due to connection lost",
      "TimedOut",
      /did not agree in time/,
    ],
    "a lost quorum": [status.UNAVAILABLE, "etcdserver: no leader", "NoLeader", /no leader/],
    "an expired server certificate": [
      status.UNAVAILABLE,
      noConnection("Error: certificate has expired"),
      "TLSFailed",
      /server's certificate has expired/,
    ],
    "an unknown authority": [
      status.UNAVAILABLE,
      noConnection("Error: unable to verify the first certificate; if the root CA is installed locally, try ..."),
      "TLSFailed",
      /unknown authority/,
    ],
    "another authority of the same name": [
      status.UNAVAILABLE,
      noConnection("Error: self-signed certificate in certificate chain"),
      "TLSFailed",
      /unknown authority/,
    ],
    "a certificate for another name": [
      status.UNAVAILABLE,
      noConnection("Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: x"),
      "TLSFailed",
      /another name/,
    ],
    "a server that asks for a client certificate": [
      status.UNAVAILABLE,
      noConnection("40CD:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:..."),
      "TLSFailed",
      /asks for a client certificate/,
    ],
    "a client certificate of an unknown authority": [
      status.UNAVAILABLE,
      noConnection("40CD:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:..."),
      "TLSFailed",
      /authority of our client certificate/,
    ],
    "an expired client certificate": [
      status.UNAVAILABLE,
      noConnection("40CD:error:0A000415:SSL routines:ssl3_read_bytes:sslv3 alert certificate expired:..."),
      "TLSFailed",
      /our client certificate has expired/,
    ],
    "a port without TLS": [
      status.UNAVAILABLE,
      noConnection("Error: 40CD:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:..."),
      "TLSFailed",
      /does not speak TLS/,
    ],
    "a server that is no gRPC server": [
      status.UNAVAILABLE,
      noConnection("Protocol error (2026-11-22T17:33:57.608Z)"),
      "NotUnderstood",
      /speaks no gRPC/,
    ],
    "a wrong password": [
      status.INVALID_ARGUMENT,
      "etcdserver: authentication failed, invalid user ID or password",
      "Unauthenticated",
      /user name or password is wrong/,
    ],
    "missing credentials": [status.INVALID_ARGUMENT, "etcdserver: user name is empty", "Unauthenticated", /asks for/],
    "an expired login": [
      status.UNAUTHENTICATED,
      "etcdserver: invalid auth token",
      "Unauthenticated",
      /no longer valid/,
    ],
    "a role that is too narrow": [
      status.PERMISSION_DENIED,
      "etcdserver: permission denied",
      "PermissionDenied",
      /role/,
    ],
    "a full database": [status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", "NoSpace", /quota/],
    "a compacted revision": [
      status.OUT_OF_RANGE,
      "etcdserver: mvcc: required revision has been compacted",
      "Compacted",
      /gone/,
    ],
    "a revision of the future": [
      status.OUT_OF_RANGE,
      "etcdserver: mvcc: required revision is a future revision",
      "WentBack",
      /does not exist yet/,
    ],
    "a lease that has left": [status.NOT_FOUND, "etcdserver: requested lease not found", "LeaseNotFound", /lease/],
    "an answer that is too long": [
      status.RESOURCE_EXHAUSTED,
      "Received message larger than max (70000000 vs 67108864)",
      "TooLarge",
      /longer/,
    ],
    "anything else": [
      status.UNIMPLEMENTED,
      "unknown service\netcdserverpb.KV",
      "NotUnderstood",
      /unknown service etcdserverpb/,
    ],
  };
  for (const [sentence, [code, details, expected, message]] of Object.entries(cases)) {
    it(`names ${sentence}`, () => {
      const error = registryErrorOf(grpcError(code, details), "put", "http://e:1");
      expect(error.code).toBe(expected);
      expect(error.message).toMatch(message);
    });
  }

  it("bounds what it quotes", () => {
    const error = registryErrorOf(grpcError(status.UNKNOWN, "x".repeat(10_000)), "put", "http://e:1");
    expect(error.message.length).toBeLessThan(400);
  });
});

describe("watchErrorOf", () => {
  it("reads the reason of a cancelled watch", () => {
    expect(
      watchErrorOf("rpc error: code = PermissionDenied desc = etcdserver: permission denied", "http://e:1").code,
    ).toBe("PermissionDenied");
    expect(watchErrorOf("", "http://e:1").code).toBe("NotUnderstood");
  });
});

describe("isAuthDisabled", () => {
  it("knows a server without users", () => {
    const refused = registryErrorOf(
      grpcError(status.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"),
      "authenticate",
      "http://e:1",
    );
    expect(isAuthDisabled(refused)).toBe(true);
    expect(isAuthDisabled(new Error("x"))).toBe(false);
  });
});

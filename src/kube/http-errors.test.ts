import { describe, expect, test } from "vitest";

import type { KubeError } from "./http-errors.ts";
import { errorOfResponse } from "./http-errors.ts";

const status = (reason: string, message = "why"): unknown => ({ kind: "Status", reason, message });

describe("errorOfResponse", () => {
  test.each<[string, number, unknown, string, Partial<KubeError>]>([
    ["a changed object", 409, status("Conflict"), "Conflict", { isConflict: true, isAlreadyExists: false }],
    ["an object that exists", 409, status("AlreadyExists"), "Conflict", { isConflict: false, isAlreadyExists: true }],
    ["a missing object", 404, status("NotFound"), "NotFound", { isNotFound: true }],
    ["a missing path", 404, undefined, "NotFound", { isNotFound: true, reason: "" }],
    ["an old revision", 410, status("Expired"), "Expired", { isExpired: true }],
    ["a missing right", 403, status("Forbidden"), "Forbidden", { isForbidden: true }],
    ["a bad token", 401, status("Unauthorized"), "Unauthorized", { isUnauthorized: true }],
    ["an overloaded server", 429, "not JSON", "TooManyRequests", { isTooManyRequests: true }],
    ["a broken server", 503, null, "ServerError", { status: 503 }],
    ["an invalid object", 422, status("Invalid"), "Invalid", { status: 422 }],
    ["anything else", 418, status(""), "Refused", { status: 418 }],
  ])("knows %s", (_name, code, body, expectedCode, expected) => {
    const error = errorOfResponse("GET /x", code, body, undefined);
    expect(error).toMatchObject({ code: expectedCode, name: "KubeError", ...expected });
    expect(error.message).toContain(`GET /x was answered with ${code}`);
  });

  test.each<[string, string | undefined, unknown, number | undefined]>([
    ["the header", "7", undefined, 7000],
    ["the body where the header is missing", undefined, { details: { retryAfterSeconds: 2 } }, 2000],
    ["the header before the body", "7", { details: { retryAfterSeconds: 2 } }, 7000],
    ["nothing from a date, which would need the server's clock", "Wed, 21 Oct 2026 07:28:00 GMT", undefined, undefined],
    ["nothing where nothing is said", undefined, {}, undefined],
  ])("takes the time to wait from %s", (_name, header, body, expected) => {
    expect(errorOfResponse("GET /x", 429, body, header).retryAfterMs).toBe(expected);
  });

  test("keeps a long message short", () => {
    expect(errorOfResponse("GET /x", 500, status("", "m".repeat(10_000)), undefined).message.length).toBeLessThan(600);
  });
});

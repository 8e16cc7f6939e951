import fc from "fast-check";
import { expect, test } from "vitest";

import { keyOf, parseKey } from "./keys.ts";

test("a key can be read, and tells registry and id again whatever the id holds", () => {
  expect(keyOf("main", "/services/shop/1")).toBe("main:/services/shop/1");
  const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?$/);
  fc.assert(
    fc.property(name, fc.string(), (registry, id) => {
      expect(parseKey(keyOf(registry, id))).toEqual({ registry, id });
    }),
  );
});

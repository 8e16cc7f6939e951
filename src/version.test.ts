import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { buildInfo, describeBuild } from "./version.ts";

test("the version is that of the package, the commit what the build said, Node the one that runs", () => {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version: string };
  const { node } = process.versions;
  expect(buildInfo({ HYGEIA_COMMIT: "1a2b3c4" })).toEqual({ version, commit: "1a2b3c4", node });
  expect(buildInfo({})).toEqual({ version, commit: "", node });
});

test("one line tells all that is known", () => {
  const known = { version: "1.2.3", commit: "1a2b3c4", node: "24.0.0" };
  expect(describeBuild(known)).toBe("hygeia 1.2.3 (commit 1a2b3c4), Node 24.0.0\n");
  expect(describeBuild({ ...known, commit: "" })).toBe("hygeia 1.2.3, Node 24.0.0\n");
});

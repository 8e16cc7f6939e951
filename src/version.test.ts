import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

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

test("--version prints it and ends well, whatever else is asked for", async () => {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const env = { ...process.env, HYGEIA_COMMIT: "1a2b3c4" };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [main, "--dry-run", "--version"], { env });
  expect({ stdout, stderr }).toEqual({ stdout: describeBuild(buildInfo(env)), stderr: "" });
});

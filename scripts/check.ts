/** `npm run check`: everything that can be said about the code without running it. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";

import { mapBounded } from "../test/support/concurrency.ts";

const ROOT = join(import.meta.dirname, "..");

interface Check {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** The slow ones first, so that they do not start last. */
const CHECKS: readonly Check[] = [
  { name: "lint", command: "eslint", args: ["--max-warnings=0", "."] },
  { name: "types", command: "tsc", args: ["--noEmit"] },
  { name: "dead code", command: "knip", args: [] },
  { name: "format", command: "prettier", args: ["--check", "--log-level=warn", "."] },
  { name: "layering", command: "depcruise", args: ["src"] },
  { name: "generated files", command: process.execPath, args: ["scripts/generate.ts", "--check"] },
];

interface Outcome {
  readonly check: Check;
  readonly passed: boolean;
  readonly output: string;
}

async function run(check: Check): Promise<Outcome> {
  const startedAt = performance.now();
  const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"] ?? ""].join(delimiter);
  const child = spawn(check.command, check.args, {
    cwd: ROOT,
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const passed = await new Promise<boolean>((resolve) => {
    child.once("error", (error) => {
      output += error.message;
      resolve(false);
    });
    child.once("close", (code) => resolve(code === 0));
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${passed ? "ok    " : "FAILED"} ${check.name} (${seconds} s)`);
  return { check, passed, output };
}

const outcomes = await mapBounded(CHECKS, Math.max(2, availableParallelism()), run);
const failed = outcomes.filter(({ passed }) => !passed);
for (const { check, output } of failed) console.log(`\n--- ${check.name}\n${output.trimEnd()}`);
console.log(`\n${outcomes.length - failed.length} checks passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;

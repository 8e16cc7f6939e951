/**
 * `npm test`: prepares the real components, runs the unit tests, the integration tests, those on a real node and the
 * demo, and ends with one line that says how many passed and failed. `--nightly` asks for the long versions; further words select
 * test files.
 */
import { parseArgs } from "node:util";

import { startVitest, type TestModule, type Vitest } from "vitest/node";

import { NODE_PROGRAMS } from "./env/node/real-node.ts";
import { whyNoRealNode } from "./env/node/requirements.ts";
import { findKubectl, findNacos, findPrograms } from "./env/programs.ts";

const PROJECTS = ["unit", "integration", "e2e"];

const totals = { passed: 0, failed: 0, skipped: 0 };

function say(line: string): void {
  console.log(line);
}

/** What the tests start; built here, where it can be seen, and not under the deadline of a test. */
async function prepareComponents(): Promise<void> {
  await Promise.all([
    findPrograms(
      ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "etcdctl", "etcdutl", "kwok", "consul"],
      say,
    ).then(() => findKubectl(say)),
    prepareRealNode(),
    // Its tests say that they are skipped where there is no Java.
    findNacos(say).catch((error: unknown) =>
      say(`no Nacos: ${error instanceof Error ? error.message : String(error)}`),
    ),
  ]);
}

/** Its tests say that they are skipped where there can be none. */
async function prepareRealNode(): Promise<void> {
  const obstacle = whyNoRealNode();
  if (obstacle === undefined) await findPrograms(NODE_PROGRAMS, say);
  else say(`no real node: ${obstacle}`);
}

/** Adds up the results; errors outside of a test (a file that does not load, a hook that throws) count as failures. */
function count(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
  for (const module of modules) {
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed" || state === "failed") totals[state]++;
      else totals.skipped++;
    }
    const suites = [module, ...module.children.allSuites()];
    totals.failed += suites.filter((suite) => suite.errors().length > 0).length;
  }
  totals.failed += unhandled.length;
}

async function runProject(project: string, filters: string[]): Promise<void> {
  let vitest: Vitest | undefined;
  try {
    vitest = await startVitest(filters, { project: [project], run: true, passWithNoTests: true });
    count(vitest.state.getTestModules(), vitest.state.getUnhandledErrors());
  } catch (error) {
    totals.failed++;
    console.error(`the ${project} tests did not run:`, error);
  } finally {
    await vitest?.close();
  }
}

function closingLine(): string {
  const { passed, failed, skipped } = totals;
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

const { values, positionals } = parseArgs({
  options: { nightly: { type: "boolean", default: false } },
  allowPositionals: true,
});
if (values.nightly) process.env["HYGEIA_NIGHTLY"] = "1";
try {
  await prepareComponents();
  for (const project of PROJECTS) await runProject(project, positionals);
} catch (error) {
  totals.failed++;
  console.error(error instanceof Error ? error.message : error);
}
if (totals.passed + totals.failed === 0) console.error("no test ran");
say(closingLine());
// What a test leaves open must not keep the command from ending.
process.exit(totals.failed > 0 || totals.passed === 0 ? 1 : 0);

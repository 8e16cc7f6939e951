/** `npm run demo`, as anybody would run it. It checks what it shows, and ends with exit code 1 where it is not true. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const execute = promisify(execFile);

const PROGRAM = fileURLToPath(new URL("../demo/main.ts", import.meta.url));
const NIGHTLY = process.env["HYGEIA_NIGHTLY"] !== undefined;
/** The other registries show the same, each with a control plane of its own, and take a minute more each. */
const REGISTRIES = NIGHTLY ? ["etcd", "consul", "nacos"] : ["etcd"];
/** Without the first build of the components. */
const DEADLINE_MS = 170_000;

for (const registry of REGISTRIES) {
  test(`the demo with ${registry} comes true`, async () => {
    const args = [PROGRAM, "--registries", registry];
    const { stdout } = await execute(process.execPath, args, { timeout: DEADLINE_MS, killSignal: "SIGKILL" });
    expect(stdout).toMatch(/\n\nAll of it came true\.\n$/);
    if (registry !== "etcd") return;
    // A pod before and after, what its lookups cost, and zombies that left.
    for (const line of [
      /web-before: ndots 5; no sysctls/,
      /api\.other\.svc\.cluster\.local: 8 DNS queries, 6 of them for names that do not exist/,
      /web-after: ndots 2; net\.ipv4\.tcp_keepalive_intvl=30, /,
      /api\.other\.svc\.cluster\.local: 2 DNS queries\n/,
      /\d+ ms after its kubelet reported the end: \S+ is gone/,
      /4 living instances and the foreign entry are untouched/,
    ]) {
      expect(stdout).toMatch(line);
    }
  });
}

/** Why the tests on a real node are skipped where they are. */
import { afterEach, describe, expect, test, vi } from "vitest";

import { whyNoRealNode } from "../env/index.ts";

describe.runIf(process.platform === "linux")("a machine that cannot have a real node is told", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  test("to be root", () => {
    vi.spyOn(process, "geteuid").mockReturnValue(1000);
    expect(whyNoRealNode()).toMatch(/needs root: .*sudo/);
  });

  test("which programs are missing and which packages have them", () => {
    vi.spyOn(process, "geteuid").mockReturnValue(0);
    vi.stubEnv("PATH", "/nowhere");
    expect(whyNoRealNode()).toMatch(/^missing: runc; ip; unshare; .*apt-get install runc iproute2 util-linux/);
  });

  test("in one line", () => {
    vi.stubEnv("PATH", "/nowhere");
    expect(whyNoRealNode()?.split("\n")).toHaveLength(1);
  });
});

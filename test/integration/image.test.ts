/** What the image holds: the built program, with nothing beside it that a development needs. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { buildInfo, describeBuild } from "../../src/version.ts";
import { Scope } from "../env/index.ts";
import { type Image, layOutImage } from "../support/image.ts";
import { Stage } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

/** As `readOnlyRootFilesystem`, and for root too: who writes a file anywhere is refused. */
const READ_ONLY = ["--permission", "--allow-fs-read=*"];

const scope = new Scope();
let image: Image;

beforeAll(async () => {
  image = await layOutImage(scope.directory("image"));
});

afterAll(async () => {
  await scope.stop();
});

test("its program runs without writing to disk, becomes ready and evicts", async () => {
  const stage = await Stage.start();
  try {
    const { cwd, env } = image;
    const operator = await stage.operator({ program: { args: [...READ_ONLY, ...image.args], cwd }, env });
    const zombie = await stage.instance({ framework: "Kratos", service: "cart" });
    await operator.untilReady();
    await stage.untilLive(operator, 1);
    await stage.fixture.beginTermination(zombie.pod);
    await stage.crash(zombie);
    expect(await stage.oracle.departure(zombie.key)).toMatchObject({ cause: "Evicted" });
    await eventually("the policy is Ready", async () => (await stage.condition("Ready")).status === "True");
  } finally {
    await stage.stop();
  }
});

test("--version tells the package's version and the commit of its build", async () => {
  const { args, cwd } = image;
  const env = { ...process.env, ...image.env, HYGEIA_COMMIT: "1a2b3c4" };
  const run = promisify(execFile)(process.execPath, [...args, "--version"], { cwd, env });
  expect(await run).toEqual({ stdout: describeBuild(buildInfo(env)), stderr: "" });
});

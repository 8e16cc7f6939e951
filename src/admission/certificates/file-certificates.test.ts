import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { eventually } from "../../../test/support/operator-wait.ts";
import { createLogger } from "../../telemetry/log.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import { createAuthority } from "./authority.ts";
import { FileCertificates } from "./file-certificates.ts";
import type { KeyPair } from "./key-pair.ts";

let directory: string;
let stop: AbortController;
const clock = new ManualClock();
const validity = (days: number) => ({
  notBefore: clock.wall(),
  notAfter: new Date(clock.wall().getTime() + days * 86_400_000),
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "certificates-"));
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  rmSync(directory, { recursive: true });
});

function write(folder: string, { certificate, privateKey }: KeyPair): void {
  writeFileSync(join(folder, "tls.crt"), certificate);
  writeFileSync(join(folder, "tls.key"), privateKey);
}

function start() {
  const served: KeyPair[] = [];
  /** How many were served at each call of onServed. */
  const told: number[] = [];
  const metrics = createMetrics({ version: "test" });
  const files = new FileCertificates({
    directory,
    lookEveryMs: 10_000,
    serve: (pair) => Promise.resolve(void served.push(pair)),
    onServed: () => void told.push(served.length),
    clock,
    log: createLogger({ level: "silent" }),
    metrics,
  });
  const ended = files.run(stop.signal);
  /** Lets time pass until it has looked and it holds. */
  const until = (what: string, holds: () => boolean | Promise<boolean>): Promise<true> =>
    eventually(what, async () => {
      if (await holds()) return true;
      await clock.advance(10_000);
      return false;
    });
  /** Looks that found nothing to serve. */
  const failures = async (): Promise<number> => {
    const { values } = await metrics.admission.certificateErrors.get();
    return values.find(({ labels }) => labels.reason === "FilesUnusable")?.value ?? 0;
  };
  return { files, served, told, ended, until, failures };
}

describe("FileCertificates", () => {
  test("serves what the files hold, and tells of it, once", async () => {
    const first = await createAuthority(validity(1));
    write(directory, first);
    const { files, served, told, until, ended } = start();
    await until("it serves", () => served.length > 0);
    await clock.advance(50_000);
    expect(served).toEqual([first]);
    expect(told).toEqual([1]);
    expect(files.problem).toBeUndefined();
    stop.abort();
    await ended;
  });

  test("waits for files that are not there yet, and says so", async () => {
    const { files, served, until } = start();
    await until("it has looked", () => files.problem?.includes("ENOENT") === true);
    const first = await createAuthority(validity(1));
    write(directory, first);
    await until("it serves", () => served.length > 0);
    expect(files.problem).toBeUndefined();
  });

  test("takes up new files, also when a kubelet swaps a link to their folder", async () => {
    const [first, second] = [await createAuthority(validity(1)), await createAuthority(validity(2))];
    for (const [name, pair] of Object.entries({ one: first, two: second })) {
      await mkdir(join(directory, name));
      write(join(directory, name), pair);
    }
    symlinkSync("one", join(directory, "..data"));
    for (const file of ["tls.crt", "tls.key"]) symlinkSync(join("..data", file), join(directory, file));
    const { served, told, until } = start();
    await until("it serves", () => served.length === 1);
    symlinkSync("two", join(directory, "..next"));
    await rename(join(directory, "..next"), join(directory, "..data"));
    await until("it serves the other", () => served.length === 2);
    expect(served).toEqual([first, second]);
    expect(told).toEqual([1, 2]);
  });

  test("keeps what it serves while the files do not belong together", async () => {
    const [first, second] = [await createAuthority(validity(1)), await createAuthority(validity(2))];
    write(directory, first);
    const { files, served, until, failures } = start();
    await until("it serves", () => served.length === 1);
    writeFileSync(join(directory, "tls.crt"), second.certificate);
    await until("it has looked and refused", async () => (await failures()) > 0);
    expect(served).toEqual([first]);
    expect(files.problem).toBeUndefined();
    writeFileSync(join(directory, "tls.key"), second.privateKey);
    await until("it serves the other", () => served.length === 2);
  });

  test("an expired certificate is served, for what it is worth, and is a problem", async () => {
    write(directory, await createAuthority(validity(1)));
    const { files, served, until } = start();
    await until("it serves", () => served.length === 1);
    await clock.advance(86_400_000);
    expect(files.problem).toContain("expired");
  });
});

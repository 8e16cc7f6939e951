import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const COMMAND = join(ROOT, "src/cli/lint-policy.ts");
const SAMPLE = "config/samples/registrationpolicy_pods.yaml";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lint-policy-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function lint(args: readonly string[], stdin = ""): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [COMMAND, ...args],
      { cwd: ROOT, timeout: 60_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
      },
    );
    child.stdin?.end(stdin);
  });
}

let files = 0;

/** A file with this text. */
function file(text: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

function policy(name: string, ...spec: readonly string[]): string {
  return [
    "apiVersion: hygeia.dev/v1alpha1",
    "kind: RegistrationPolicy",
    `metadata: { name: ${name} }`,
    "spec:",
    "  registration: { registries: [{ name: main }] }",
    ...spec.map((line) => `  ${line}`),
    "",
  ].join("\n");
}

const CUTS = "keepalive: { time: 300s, interval: 30s, probes: 5, paths: [{ name: nlb, preset: AWSNLB }] }";

describe("a file of policies", () => {
  test("that is well: shows the findings and the queries before and after", async () => {
    const { code, stdout, stderr } = await lint([SAMPLE]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`${SAMPLE}: RegistrationPolicy shop-pods`);
    expect(stdout).toContain("a dead peer is found out after 200s; 1000 idle sockets send 8.3 probes a second");
    expect(stdout).toContain("\n    effective only for sockets with SO_KEEPALIVE and no times of their own\n");
    expect(stdout).toMatch(/ok +spec\.keepalive\.paths\[1\]: path database-nlb \(AWSNLB, idle timeout 350s\)/);
    expect(stdout).toContain("ndots 5, 3 search domains of 57 characters\n    -> ndots 2, 3 search domains of 57");
    expect(stdout).toMatch(/\n +name +glibc +Go\n/);
    expect(stdout).toMatch(/\n +api\.other\.svc\.cluster\.local +8 -> 2 +8 -> 2\n/);
    expect(stdout).toContain("1 checked, 0 refused, 0 warnings, 0 not valid");
  });

  test("with a keepalive that cuts connections is refused", async () => {
    const { code, stdout } = await lint([file(policy("cuts", CUTS))]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/REFUSED +spec\.keepalive\.paths\[0\]: path nlb .* = 390s is not below 350s/);
    expect(stdout).toContain("1 checked, 1 refused, 0 warnings");
  });

  test("with warnings alone does not fail", async () => {
    const { code, stdout } = await lint([file(policy("warned", "dns: { ndots: 2 }"))]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/warning +spec\.dns\.ndots: no longer found with musl: api\.other\.svc/);
    expect(stdout).toMatch(/\n +api\.other\.svc +6 -> 8 +6 -> not found \(2\) +6 -> 8\n/);
    expect(stdout).toContain("1 checked, 0 refused, 2 warnings");
  });

  test("with a registry that forgets sooner than a dead peer is found out is warned of that", async () => {
    const slow = "keepalive: { time: 20s, interval: 5s, probes: 3, paths: [{ name: a, preset: IPVS }] }";
    const silent = (silentFor: string): string =>
      policy("slow", slow).replace("{ registries:", `{ zombies: { silentFor: ${silentFor} }, registries:`);
    const { code, stdout } = await lint([file(silent("34s"))]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/warning +spec\.keepalive: .* = 35s, later than the 34s of silence/);
    expect((await lint([file(silent("35s"))])).stdout).toContain("0 warnings");
  });

  test("is checked document by document, other kinds passed over", async () => {
    const other = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\n";
    const text = ["", policy("one"), other, policy("two", "dns: { ndots: 4 }"), ""].join("---\n");
    const { code, stdout } = await lint([file(text)]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/RegistrationPolicy one[^]*neither spec\.keepalive nor spec\.dns[^]*RegistrationPolicy two/);
    expect(stdout).toContain("2 checked");
  });

  test("may be a list, from standard input", async () => {
    const items = [policy("one"), policy("two", CUTS)].map((text) => text.trimEnd().replaceAll("\n", "\n    "));
    const list = ["apiVersion: v1", "kind: List", "items:", ...items.map((item) => `  - ${item}`), ""].join("\n");
    const { code, stdout } = await lint(["-"], list);
    expect(code).toBe(1);
    expect(stdout).toContain("-: RegistrationPolicy two");
    expect(stdout).toContain("2 checked, 1 refused");
  });

  test("is checked beside others that are not valid", async () => {
    const { code, stdout } = await lint([SAMPLE, join(folder, "absent.yaml")]);
    expect(code).toBe(1);
    expect(stdout).toContain("absent.yaml: there is no such file");
    expect(stdout).toContain("1 checked, 0 refused, 0 warnings, 1 not valid");
  });
});

describe("a file that is not valid", () => {
  const cases: Record<string, { text: string; says: RegExp }> = {
    "is named when it is not YAML": {
      text: "kind: [RegistrationPolicy\nspec: x\n",
      says: /\.yaml: is not valid YAML: .* at line \d+, column \d+\n/,
    },
    "is named when it names a field twice": {
      text: policy("twice", "mode: Audit", "mode: Enforce"),
      says: /is not valid YAML: Map keys must be unique at line 7/,
    },
    "is named when it is no object": {
      text: "- a\n- b\n",
      says: /document 1: is not a Kubernetes object: write apiVers/,
    },
    "is named when it is empty": { text: "", says: /holds no RegistrationPolicy, but nothing/ },
    "is named when it holds another kind": {
      text: "apiVersion: hygeia.dev/v1alpha1\nkind: Registry\nmetadata: { name: main }\n",
      says: /holds no RegistrationPolicy, but Registry/,
    },
    "is named with the document where there is no name": {
      text: `---\n---\napiVersion: hygeia.dev/v1alpha1\nkind: RegistrationPolicy\nspec: {}\n`,
      says: /document 2: metadata: must be set/,
    },
    "is named with the version to write": {
      text: policy("old").replace("v1alpha1", "v1"),
      says: /RegistrationPolicy old: apiVersion: must be one of hygeia\.dev\/v1alpha1/,
    },
    "is named with the products to write": {
      text: policy("typo", CUTS.replace("AWSNLB", "AWS-NLB")),
      says: /typo: spec\.keepalive\.paths\[0\]\.preset: must be one of AlibabaCLB, .*, AWSNLB, /,
    },
    "is named with the duration to write": {
      text: policy("unit", CUTS.replace("300s", '"300"')),
      says: /unit: spec\.keepalive\.time: must be a duration of whole seconds such as 15s/,
    },
    "is named with the field to write": {
      text: policy("slip", "dns: { ndot: 2 }"),
      says: /slip: spec\.dns\.ndot: is no field: write one of ndots, searches/,
    },
    "is named by the rules of the API server": {
      text: policy("rule", "dns: { ndots: 2, searchMode: Replace }"),
      says: /rule: spec\.dns\.searches: must hold at least one domain when searchMode is Replace/,
    },
  };
  for (const [sentence, { text, says }] of Object.entries(cases)) {
    test(sentence, async () => {
      const { code, stdout, stderr } = await lint([file(text)]);
      expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
      expect(stdout).toMatch(says);
      expect(stdout).not.toContain("    at ");
    });
  }

  test("is named when it is a folder", async () => {
    const { code, stdout } = await lint([folder]);
    expect(code).toBe(1);
    expect(stdout).toContain("is a folder: name a file");
  });

  test("does not hide what else is wrong with it", async () => {
    const { stdout } = await lint([
      file(`${policy("one", "mode: Delete", "dns: { ndots: 99 }")}---\n${policy("two", CUTS)}`),
    ]);
    expect(stdout).toContain("RegistrationPolicy one: spec.mode: must be one of Audit, Enforce, Paused");
    expect(stdout).toContain("RegistrationPolicy one: spec.dns.ndots: must be <= 15");
    expect(stdout).toContain("1 checked, 1 refused, 0 warnings, 2 not valid");
  });
});

describe("the options", () => {
  const path = (): string => file(policy("asked", "dns: { ndots: 3, searches: [a.example] }"));

  test("say which names are counted, where the pods run and what nodes search", async () => {
    const { code, stdout } = await lint([
      path(),
      ...["--name", "web", "--name", "api.ns2=api.ns2.svc.k8s.corp", "--namespace", "shop"],
      ...["--cluster-domain", "k8s.corp", "--host-search", "corp.example", "--host-search", "example."],
    ]);
    expect(code).toBe(0);
    // shop.svc.k8s.corp svc.k8s.corp k8s.corp corp.example example
    expect(stdout).toContain("ndots 5, 5 search domains of 60 characters\n    -> ndots 3, 6 search domains of 70");
    expect(stdout).toMatch(/\n +web +2 -> 2 +2 -> 2 +2 -> 2\n +api\.ns2 +4 -> 4 +4 -> 4 +4 -> 4\n/);
    expect(stdout).not.toContain("\n    example.com");
  });

  test("say that programs ask for one family of addresses", async () => {
    const { code, stdout } = await lint([path(), "--families", "1", "--name", "web", "--name", "example.com"]);
    expect(code).toBe(0);
    expect(stdout).toContain("queries for a lookup (A or AAAA), before -> after");
    expect(stdout).toMatch(/\n +web +1 -> 1 +1 -> 1 +1 -> 1\n +example\.com +4 -> 5 +4 -> 5 +4 -> 5\n/);
    // glibc does not ask for less than one.
    const dns = "dns: { ndots: 2, options: [{ name: no-aaaa }] }";
    const { stdout: without } = await lint([file(policy("four", dns)), "--families", "1", "--name", "example.com."]);
    expect(without).toMatch(/\n +example\.com\. +1 -> 1 +1 -> 1 +1 -> 1\n/);
  });

  test("say that JSON is written, with everything in it", async () => {
    const { code, stdout } = await lint([
      file(policy("asked", CUTS, "dns: { ndots: 2, libc: Glibc }")),
      "--output",
      "json",
    ]);
    expect(code).toBe(1);
    const said = JSON.parse(stdout) as object;
    expect(said).toMatchObject({
      totals: { policies: 1, refused: 1, warnings: 0, problems: 0 },
      problems: [],
      policies: [
        {
          name: "asked",
          keepalive: { detection: 450, paths: [{ severity: "Refused", code: "CutsConnections", path: "nlb" }] },
          dns: { before: { options: { ndots: "5" } }, after: { options: { ndots: "2" } }, findings: [] },
        },
      ],
    });
    const { policies } = said as { policies: { dns: { counts: object[] } }[] };
    expect(policies[0]?.dns.counts).toContainEqual({
      name: "api.other.svc.cluster.local",
      target: "api.other.svc.cluster.local",
      libc: "Go",
      before: { asked: expect.arrayContaining([]) as string[], queries: 8, found: "api.other.svc.cluster.local" },
      after: { asked: ["api.other.svc.cluster.local"], queries: 2, found: "api.other.svc.cluster.local" },
    });
  });

  test("say that problems are written as JSON too", async () => {
    const { code, stdout } = await lint([file(policy("bad", "mode: Delete")), "--output=json"]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      problems: [{ where: "RegistrationPolicy bad", field: "spec.mode" }],
      policies: [],
    });
  });

  test("say how it is used", async () => {
    const { code, stdout } = await lint(["--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("npm run lint:policy -- FILE...");
  });

  const misused: Record<string, { args: readonly string[]; says: string }> = {
    "no file": { args: [], says: "name at least one file" },
    "an unknown option": { args: [SAMPLE, "--strict"], says: "Unknown option '--strict'" },
    "another output": { args: [SAMPLE, "--output", "xml"], says: '--output wants text or json, not "xml"' },
    "three families": { args: [SAMPLE, "--families", "3"], says: '--families wants 1 or 2, not "3"' },
    "no namespace": {
      args: [SAMPLE, "--namespace", "a.b"],
      says: '--namespace wants the name of a namespace, not "a.b"',
    },
    "no domain": {
      args: [SAMPLE, "--host-search", "a b"],
      says: "--host-search wants a DNS domain such as corp.example",
    },
    "no name": { args: [SAMPLE, "--name", "a..b"], says: '--name wants a host name, or NAME=FULL.NAME, not "a..b"' },
    "a name for nothing": { args: [SAMPLE, "--name", "a="], says: "--name wants a host name" },
  };
  for (const [sentence, { args, says }] of Object.entries(misused)) {
    test(`are explained after ${sentence}`, async () => {
      const { code, stdout, stderr } = await lint(args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(says);
      expect(stderr).toMatch(/^[^\n]+; --help shows all flags\n$/);
    });
  }
});

test("README.md shows what the command says", async () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const section = /\n## What it asks of pods\n([^]*?)\n## /.exec(readme)?.[1] ?? "";
  const [, yaml = "", command = "", output = ""] =
    /```yaml\n([^]*?)```[^]*?lint:policy -- pods\.yaml (.*)\n([^]*?)```/.exec(section) ?? [];
  const { code, stdout } = await lint([file(yaml), ...command.split(" ")]);
  expect(code).toBe(0);
  const shown = output.split("\n...\n").map((part) => part.replace(/^\.\.\.\n/, ""));
  expect(shown).toHaveLength(2);
  for (const part of shown) expect(stdout).toContain(part);
});

test("npm knows the command", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  expect(scripts["lint:policy"]).toBe("node src/cli/lint-policy.ts");
});

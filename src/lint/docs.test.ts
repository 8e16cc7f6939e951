import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { lookUp, type Resolver } from "./dns-queries.ts";
import { typicalNames } from "./names.ts";
import { PRESETS } from "./paths.ts";
import { clusterSearches } from "./resolver.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../docs/pods.md"), "utf8");

/** Cells of every row that begins with something in backticks, without the backticks. */
function rows(columns: number): string[][] {
  return PAGE.split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    )
    .filter((cells) => cells.length === columns);
}

describe("docs/pods.md", () => {
  test("shows every preset as it is, and where it comes from", () => {
    const shown = rows(5).filter(([name = ""]) => name in PRESETS);
    expect(shown.map(([name, idle, counts]) => [name, idle, counts])).toEqual(
      Object.entries(PRESETS).map(([name, { idleTimeoutSeconds, tcpKeepalive }]) => [
        name,
        `${idleTimeoutSeconds} s`,
        tcpKeepalive === "Counts" ? "counts" : "is ignored",
      ]),
    );
    for (const [name, { source, date }] of Object.entries(PRESETS)) {
      expect(PAGE).toContain(`- \`${name}\`: ${source.startsWith("https") ? `<${source}>` : source}.`);
      expect(PAGE).toContain(`as of ${date}`);
    }
  });

  test("shows the queries as they are counted", () => {
    const three = clusterSearches("shop", "cluster.local");
    const five = [...three, "corp.example", "dc1.corp.example"];
    const resolver = (libc: Resolver["libc"], ndots: number, searches = three): Resolver => ({
      libc,
      ndots,
      searches,
      families: 2,
    });
    const columns = [
      resolver("Glibc", 5),
      resolver("Glibc", 5, five),
      resolver("Go", 2),
      resolver("Musl", 2),
      resolver("Glibc", 1),
      resolver("Musl", 1),
    ];
    const known = new Map(typicalNames("shop", "cluster.local").map(({ name, target }) => [name, target]));
    const shown = rows(7);
    expect(shown.length).toBe(9);
    for (const [name = "", ...cells] of shown) {
      const target = known.get(name);
      const counted = columns.map((by) => {
        const { queries, found } = lookUp(name, by, (asked) => (asked === target ? "Address" : "NoSuchName"));
        return found === undefined ? "-" : String(queries);
      });
      expect({ name, cells }).toEqual({ name, cells: counted });
    }
  });
});

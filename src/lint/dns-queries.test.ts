import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { candidates, lookUp, type Answer, type Libc, type Resolver } from "./dns-queries.ts";

const CLUSTER = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];
const TWO_MORE = [...CLUSTER, "corp.example", "dc1.corp.example"];

function resolver(libc: Libc, ndots: number, searches: readonly string[] = CLUSTER): Resolver {
  return { libc, ndots, searches, families: 2 };
}

/** A name server that knows one name. */
const only =
  (target: string) =>
  (name: string): Answer =>
    name === target ? "Address" : "NoSuchName";

const FAILS = "fails";

interface Row {
  readonly name: string;
  readonly target: string;
  /** Queries, or that the lookup fails. */
  readonly counts: Readonly<Record<keyof typeof COLUMNS, number | typeof FAILS>>;
}

const COLUMNS = {
  "three domains, ndots 5": (libc: Libc) => resolver(libc, 5),
  "five domains, ndots 5": (libc: Libc) => resolver(libc, 5, TWO_MORE),
  "glibc and Go, ndots 2": (libc: Libc) => resolver(libc, 2),
  "glibc and Go, five domains, ndots 2": (libc: Libc) => resolver(libc, 2, TWO_MORE),
  "musl, ndots 2": () => resolver("Musl", 2),
  "glibc and Go, ndots 1": (libc: Libc) => resolver(libc, 1),
  "musl, ndots 1": () => resolver("Musl", 1),
};

/** How each resolver stands in the columns' names. */
const IN_NAME = { Glibc: "glibc", Go: "Go", Musl: "musl" } as const;

function row(name: string, target: string, ...counts: readonly (number | typeof FAILS)[]): Row {
  const names = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];
  return { name, target, counts: Object.fromEntries(names.map((column, i) => [column, counts[i]])) as Row["counts"] };
}

const S3 = "s3.us-east-1.amazonaws.com";
const TABLE: readonly Row[] = [
  row("web", "web.shop.svc.cluster.local", 2, 2, 2, 2, 2, 2, 2),
  row("api.ns2", "api.ns2.svc.cluster.local", 4, 4, 4, 4, 4, 6, FAILS),
  row("api.ns2.svc", "api.ns2.svc.cluster.local", 6, 6, 8, 8, FAILS, 8, FAILS),
  row("db-0.db.ns2", "db-0.db.ns2.svc.cluster.local", 4, 4, 6, 6, FAILS, 6, FAILS),
  row("api.ns2.svc.cluster.local", "api.ns2.svc.cluster.local", 8, 12, 2, 2, 2, 2, 2),
  row("db-0.db.ns2.svc.cluster.local", "db-0.db.ns2.svc.cluster.local", 2, 2, 2, 2, 2, 2, 2),
  row("example.com", "example.com", 8, 12, 8, 12, 8, 2, 2),
  row(S3, S3, 8, 12, 2, 2, 2, 2, 2),
  row(`${S3}.`, S3, 2, 2, 2, 2, 2, 2, 2),
];

describe("the queries of a lookup, A and AAAA", () => {
  for (const { name, target, counts } of TABLE) {
    for (const [column, expected] of Object.entries(counts) as [keyof typeof COLUMNS, number | typeof FAILS][]) {
      const named = (Object.keys(IN_NAME) as Libc[]).filter((libc) => column.includes(IN_NAME[libc]));
      // A column that names no resolver is for all.
      for (const libc of named.length > 0 ? named : (["Glibc", "Musl", "Go"] as const)) {
        test(`${name}: ${column}: ${String(expected)} (${libc})`, () => {
          const { queries, found } = lookUp(name, COLUMNS[column](libc), only(target));
          expect(found === undefined ? FAILS : queries).toBe(expected);
        });
      }
    }
  }

  test("are half as many where one family is asked for", () => {
    const one: Resolver = { ...resolver("Glibc", 5), families: 1 };
    expect(lookUp("example.com", one, only("example.com")).queries).toBe(4);
  });
});

describe("the queries about a name whose server fails", () => {
  /** One of four names: with two families 8 queries, were it not for the failure. */
  const failing = "nobody.svc.cluster.local";
  const failsOnce = (name: string): Answer => (name === failing ? "ServerFailure" : "NoSuchName");
  const cases: Record<string, { resolver: Resolver; queries: number }> = {
    "are sent once more by glibc": { resolver: resolver("Glibc", 5), queries: 10 },
    "are sent once more by Go": { resolver: resolver("Go", 5), queries: 10 },
    // It ends there: one name before, and six times two.
    "are sent five times more by musl, and are its last": { resolver: resolver("Musl", 5), queries: 14 },
    "are sent once with attempts 1": { resolver: { ...resolver("Glibc", 5), attempts: 1 }, queries: 8 },
    "are sent as often as glibc's attempts say": { resolver: { ...resolver("Glibc", 5), attempts: 4 }, queries: 14 },
    "are sent three times in each of musl's attempts": {
      resolver: { ...resolver("Musl", 5), attempts: 1 },
      queries: 8,
    },
    "are half as many where one family is asked for": {
      resolver: { ...resolver("Glibc", 5), families: 1 },
      queries: 5,
    },
  };
  for (const [sentence, { resolver: by, queries }] of Object.entries(cases)) {
    test(sentence, () => expect(lookUp("nobody", by, failsOnce).queries).toBe(queries));
  }
});

describe("the names that are asked for", () => {
  const none = (): Answer => "NoSuchName";
  const searched = (name: string) => CLUSTER.map((domain) => `${name}.${domain}`);
  const cases: Record<
    string,
    { name: string; resolver: Resolver; answer?: (name: string) => Answer; asked: string[] }
  > = {
    "are the search domains first, then the name, with few dots": {
      name: "api.ns2",
      resolver: resolver("Glibc", 5),
      asked: [...searched("api.ns2"), "api.ns2"],
    },
    "are the name first, then the search domains, with many dots": {
      name: "api.ns2",
      resolver: resolver("Go", 1),
      asked: ["api.ns2", ...searched("api.ns2")],
    },
    "are the name alone with many dots and musl": {
      name: "api.ns2",
      resolver: resolver("Musl", 1),
      asked: ["api.ns2"],
    },
    "are the name alone with a dot at its end": {
      name: "api.ns2.",
      resolver: resolver("Glibc", 5),
      asked: ["api.ns2"],
    },
    "end where there is an answer": {
      name: "api.ns2",
      resolver: resolver("Glibc", 5),
      answer: only("api.ns2.svc.cluster.local"),
      asked: ["api.ns2.shop.svc.cluster.local", "api.ns2.svc.cluster.local"],
    },
    "go on with glibc after a name without addresses": {
      name: "web",
      resolver: resolver("Glibc", 5),
      answer: () => "NoAddress",
      asked: [...searched("web"), "web"],
    },
    "go on with Go after a failure of the server": {
      name: "web",
      resolver: resolver("Go", 5),
      answer: () => "ServerFailure",
      asked: [...searched("web"), "web"],
    },
    "end with musl at a name without addresses": {
      name: "web",
      resolver: resolver("Musl", 5),
      answer: () => "NoAddress",
      asked: ["web.shop.svc.cluster.local"],
    },
    "end with musl at a failure of the server, whatever would have come later": {
      name: "web",
      resolver: resolver("Musl", 5),
      answer: (name) => (name === "web" ? "Address" : "ServerFailure"),
      asked: ["web.shop.svc.cluster.local"],
    },
    "leave out the name without dots with glibc's option for that": {
      name: "web",
      resolver: { ...resolver("Glibc", 5), noTldQuery: true },
      asked: searched("web"),
    },
    "keep the name with dots with that option": {
      name: "api.ns2",
      resolver: { ...resolver("Glibc", 5), noTldQuery: true },
      asked: [...searched("api.ns2"), "api.ns2"],
    },
    "keep the name without dots with that option where there is nothing to search": {
      name: "web",
      resolver: { ...resolver("Glibc", 5, []), noTldQuery: true },
      asked: ["web"],
    },
    "leave out what is too long to be asked for": {
      name: "web",
      resolver: resolver("Go", 5, ["d".repeat(249), "d".repeat(250)]),
      asked: [`web.${"d".repeat(249)}`, "web"],
    },
    "are none where even the name is too long": { name: "n".repeat(254), resolver: resolver("Go", 1, []), asked: [] },
  };
  for (const [sentence, { name, resolver: by, answer = none, asked }] of Object.entries(cases)) {
    test(sentence, () => {
      const lookup = lookUp(name, by, answer);
      expect(lookup.asked).toEqual(asked);
    });
  }
});

describe("any lookup", () => {
  const label = fc.constantFrom("a", "db-0", "web", "svc");
  const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join("."));
  const searches = fc.uniqueArray(name, { maxLength: 8 });
  const families = fc.constantFrom(1 as const, 2 as const);
  const ndots = fc.integer({ min: 0, max: 15 });
  /** Index of the search domain that has the name; one past the end is the name itself, two past the end nothing. */
  const where = fc.integer({ min: 0, max: 9 });

  test("costs what the formula says", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Libc>("Glibc", "Musl", "Go"),
        name,
        searches,
        families,
        ndots,
        where,
        (libc, of, domains, f, n, at) => {
          const m = domains.length;
          const target = at < m ? `${of}.${domains[at] ?? ""}` : at === m ? of : "nowhere";
          const { queries, found } = lookUp(of, { libc, ndots: n, searches: domains, families: f }, only(target));
          const dots = of.split(".").length - 1;
          const k = at < m ? at : undefined;
          const asIs = at === m;
          if (dots < n) {
            // Searched first; the name itself comes last.
            expect(queries).toBe(k === undefined ? f * (m + 1) : f * (k + 1));
            expect(found !== undefined).toBe(k !== undefined || asIs);
          } else if (libc === "Musl") {
            expect(queries).toBe(f);
            expect(found !== undefined).toBe(asIs);
          } else {
            expect(queries).toBe(asIs ? f : k === undefined ? f * (m + 1) : f * (1 + k + 1));
            expect(found !== undefined).toBe(k !== undefined || asIs);
          }
        },
      ),
    );
  });

  test("of a name with a dot at its end costs one name", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Libc>("Glibc", "Musl", "Go"),
        name,
        searches,
        families,
        ndots,
        (libc, of, s, f, n) => {
          const by: Resolver = { libc, ndots: n, searches: s, families: f };
          expect(candidates(`${of}.`, by)).toEqual([of]);
          expect(lookUp(`${of}.`, by, only("nowhere")).queries).toBe(f);
        },
      ),
    );
  });
});

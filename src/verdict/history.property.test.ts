import { randomInt } from "node:crypto";

import { describe, expect, it } from "vitest";

import { brokenRules } from "../../test/support/simulator/broken-rules.ts";
import { Simulation, type SimulationResult } from "../../test/support/simulator/simulation.ts";
import { noneUnknowable, type Unknowable, type UnknowableCounts } from "../../test/support/simulator/unknowable.ts";
import type { EvidenceClass } from "./types.ts";

const isNightly = process.env["HYGEIA_NIGHTLY"] === "1";
/** A seed from a failure, to see the same history again. */
const seedAgain = process.env["HYGEIA_SEED"];

/** Decisions: with none wrong among n, fewer than 3/n are (95 %). */
const DECISIONS = isNightly ? 3_000_000 : 200_000;
const CHAOS_MS = 600_000;
const QUIET_MS = 900_000;
/** One history in so many ends in quiet, to see that every zombie goes. */
const QUIET_EVERY = 4;
/** Histories of a registry whose delete compares nothing, and how many evictions each has at least on average. */
const UNGUARDED = isNightly ? 1_000 : 60;
const LEAST_UNGUARDED = 5;
/** Histories after which a broken rule must have been found out. */
const PATIENCE = isNightly ? 2_000 : 150;
/** Of so many evictions one may be of what nobody could have known (docs/how-it-works.md), of whatever kind. */
const UNKNOWABLE = 1_000;
/** The same for each kind: some three times what 347,000 evictions had (3, 31, 18 and 5). */
const UNKNOWABLE_BY_KIND: Readonly<Record<Unknowable, number>> = {
  NothingLeft: 30_000,
  SameHostName: 4_000,
  SameNodePort: 4_000,
  NobodySaw: 20_000,
};
/** One history can have two: an instance may be listed under two services. */
const ONE_HISTORY = 2;
/** At least so many evictions of each class among 100,000 decisions, or the histories are too tame. */
const LEAST: Readonly<Record<EvidenceClass, number>> = {
  Confirmed: 150,
  Reused: 80,
  Terminating: 30,
  Absent: 10,
  Unconfirmed: 15,
};

function play(seed: number): SimulationResult {
  return new Simulation({ seed, chaosMs: CHAOS_MS, quietMs: seed % QUIET_EVERY === 0 ? QUIET_MS : 0 }).run();
}

/** Adds what one history had of each kind. */
function addUp(totals: Record<Unknowable, number>, counts: UnknowableCounts): void {
  for (const kind of Object.keys(counts) as Unknowable[]) totals[kind] += counts[kind];
}

/** All together, and each kind by itself. */
function expectRare(counts: UnknowableCounts, evictions: number): void {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  expect(all, "unknowable in all").toBeLessThanOrEqual(1 + evictions / UNKNOWABLE);
  for (const [kind, oneOf] of Object.entries(UNKNOWABLE_BY_KIND))
    expect(counts[kind as Unknowable], `unknowable: ${kind}`).toBeLessThanOrEqual(ONE_HISTORY + evictions / oneOf);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function complain(what: string, story: string): never {
  throw new Error(`${what}; HYGEIA_SEED=<seed> shows the same history again\n${story}`);
}

describe("random histories of a cluster, a registry and an operator that sees both late and in part", () => {
  it(
    `let nothing go that lives, and every zombie in the end, in ${DECISIONS} decisions`,
    { timeout: 1_800_000 },
    () => {
      const first = seedAgain === undefined ? (isNightly ? randomInt(2 ** 31) : 1) : Number(seedAgain);
      const evictions: Partial<Record<EvidenceClass, number>> = {};
      let decisions = 0;
      let removed = 0;
      const unknowable = noneUnknowable();
      for (let seed = first; decisions < DECISIONS; seed++) {
        const result = play(seed);
        if (result.violation !== undefined) complain("what lives was removed", result.violation);
        const [leftover] = result.leftovers;
        if (leftover !== undefined) complain("a zombie stays", leftover);
        decisions += result.decisions;
        addUp(unknowable, result.unknowable);
        for (const [evidence, count] of Object.entries(result.byClass)) {
          evictions[evidence as EvidenceClass] = (evictions[evidence as EvidenceClass] ?? 0) + count;
          removed += count;
        }
        if (seedAgain !== undefined) return;
      }
      say(`${decisions} decisions from seed ${first}, ${removed} evictions ${JSON.stringify(evictions)}`);
      say(`unknowable ${JSON.stringify(unknowable)}`);
      expect(decisions).toBeGreaterThanOrEqual(DECISIONS);
      expectRare(unknowable, removed);
      for (const [evidence, least] of Object.entries(LEAST)) {
        const count = evictions[evidence as EvidenceClass] ?? 0;
        expect(count, `evictions of class ${evidence}`).toBeGreaterThanOrEqual((least * DECISIONS) / 100_000);
      }
    },
  );
});

describe.skipIf(seedAgain !== undefined)("where a delete compares nothing", () => {
  it(`nothing goes that lives, in ${UNGUARDED} histories`, { timeout: 1_800_000 }, () => {
    const weaknesses = { silentRewrites: true, unguardedDeletes: true };
    const unknowable = noneUnknowable();
    let decisions = 0;
    let removed = 0;
    for (let seed = 1; seed <= UNGUARDED; seed++) {
      const result = new Simulation({ seed, chaosMs: CHAOS_MS, quietMs: 0, weaknesses }).run();
      if (result.violation !== undefined) complain("what lives was removed", result.violation);
      decisions += result.decisions;
      addUp(unknowable, result.unknowable);
      for (const count of Object.values(result.evictions)) removed += count;
    }
    say(`${decisions} decisions without a guard, ${removed} evictions, unknowable ${JSON.stringify(unknowable)}`);
    expectRare(unknowable, removed);
    expect(removed).toBeGreaterThan(UNGUARDED * LEAST_UNGUARDED);
  });
});

describe.skipIf(seedAgain !== undefined)("the histories find out when", () => {
  for (const [rule, { core, weaknesses, isCommon }] of Object.entries(brokenRules)) {
    it.skipIf(!isCommon && !isNightly)(rule, { timeout: 1_800_000 }, () => {
      for (let seed = 1; seed <= PATIENCE; seed++) {
        const options = { seed, chaosMs: CHAOS_MS, quietMs: 0, core, ...(weaknesses !== undefined && { weaknesses }) };
        const { violation } = new Simulation(options).run();
        if (violation !== undefined) return;
      }
      expect.fail(`no history of ${PATIENCE} shows it`);
    });
  }
});

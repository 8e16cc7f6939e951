import { expect, test } from "vitest";

import { type AddressCounts, readAddressCounts } from "./address-counts.ts";

const columnDefinitions = [{ name: "Name" }, { name: "IP" }];
const metadata = { resourceVersion: "7" };
const never = new AbortController().signal;

async function read(body: unknown): Promise<AddressCounts> {
  return await readAddressCounts({ request: () => Promise.resolve({ status: 200, headers: {}, body }) }, never);
}

test("rows are counted by address, and those without one are left out", async () => {
  const rows = [
    ["a", "10.0.0.1"],
    ["b", "<none>"],
    ["c", "10.0.0.2"],
    ["d", "10.0.0.1"],
  ].map((cells) => ({ cells }));
  const { revision, pods } = await read({ kind: "Table", metadata, columnDefinitions, rows });
  expect(revision).toBe("7");
  expect(Object.fromEntries(pods)).toEqual({ "10.0.0.1": 2, "10.0.0.2": 1 });
});

test("an empty cluster has null for rows", async () => {
  expect((await read({ kind: "Table", metadata, columnDefinitions, rows: null })).pods.size).toBe(0);
});

const row = { cells: ["a", "10.0.0.1"] };

test.each<[string, unknown]>([
  ["a list of pods", { kind: "PodList", metadata, items: [] }],
  ["a table without columns", { kind: "Table", metadata, rows: [row] }],
  [
    "a table without the column of addresses",
    { kind: "Table", metadata, columnDefinitions: [{ name: "Name" }], rows: [row] },
  ],
  ["a table that goes on", { kind: "Table", metadata: { ...metadata, continue: "x" }, columnDefinitions, rows: [row] }],
  ["rows that are no list", { kind: "Table", metadata, columnDefinitions, rows: {} }],
  ["a row without cells", { kind: "Table", metadata, columnDefinitions, rows: [row, {}] }],
  ["a row that is nothing", { kind: "Table", metadata, columnDefinitions, rows: [null] }],
  ["a row that is too short", { kind: "Table", metadata, columnDefinitions, rows: [{ cells: ["a"] }] }],
  ["a cell that is no text", { kind: "Table", metadata, columnDefinitions, rows: [{ cells: ["a", 1] }] }],
  ["a cell that is empty", { kind: "Table", metadata, columnDefinitions, rows: [{ cells: ["a", ""] }] }],
  ["a text", "pods"],
])("%s is refused", async (_, body) => {
  await expect(read(body)).rejects.toMatchObject({ code: "BadResponse" });
});

test("a revision that can not be ordered is refused", async () => {
  const body = { kind: "Table", metadata: { resourceVersion: "abc" }, columnDefinitions, rows: [row] };
  await expect(read(body)).rejects.toMatchObject({ code: "OpaqueVersion" });
});

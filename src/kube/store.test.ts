import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Store } from "./store.ts";
import type { Change, ObjectIdentity } from "./types.ts";

interface Thing extends ObjectIdentity {
  readonly colours: string[];
}

function thing(name: string, uid: string, resourceVersion: string, colours: string[] = []): Thing {
  return { namespace: "n", name, uid, resourceVersion, colours };
}

const colourIndex = { indexes: { colour: (object: Thing) => object.colours } };
const added = (object: Thing): Change<Thing> => ({ type: "Added", object, createdAfter: -Infinity });

describe("Store", () => {
  test("finds what a search through all objects would find", () => {
    const colours = fc.uniqueArray(fc.constantFrom("red", "green", "blue"));
    const step = fc.record({
      name: fc.constantFrom("a", "b", "c"),
      kind: fc.constantFrom("put", "replace", "delete"),
      colours,
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const store = new Store<Thing>(colourIndex);
        const model = new Map<string, Thing>();
        steps.forEach(({ name, kind, colours: wanted }, i) => {
          const before = model.get(name);
          const rv = String(i);
          if (kind === "put" && before !== undefined) {
            const object = thing(name, before.uid, rv, wanted);
            store.apply([{ type: "Modified", object, previous: before }], "Watch");
            model.set(name, object);
          } else if (kind === "delete") {
            if (before !== undefined) store.apply([{ type: "Deleted", object: before, final: true }], "Watch");
            model.delete(name);
          } else {
            const object = thing(name, `u${i}`, rv, wanted);
            const gone: Change<Thing>[] =
              before === undefined ? [] : [{ type: "Deleted", object: before, final: false }];
            store.apply([...gone, added(object)], "List");
            model.set(name, object);
          }
          const all = [...model.values()];
          expect(new Set(store.values())).toEqual(new Set(all));
          expect(store.size).toBe(all.length);
          for (const object of all) {
            expect(store.get("n", object.name)).toBe(object);
            expect(store.getByUid(object.uid)).toBe(object);
          }
          if (before !== undefined && model.get(name)?.uid !== before.uid)
            expect(store.getByUid(before.uid)).toBeUndefined();
          for (const colour of ["red", "green", "blue"])
            expect(new Set(store.byIndex("colour", colour))).toEqual(
              new Set(all.filter((o) => o.colours.includes(colour))),
            );
        });
      }),
    );
  });

  test("takes a change that comes twice", () => {
    const store = new Store<Thing>(colourIndex);
    const first = thing("a", "u1", "1", ["red"]);
    store.apply([added(first)], "Watch");
    const again = thing("a", "u1", "1", ["blue"]);
    store.apply([added(again)], "List");
    expect(store.byIndex("colour", "red")).toEqual([]);
    expect(store.byIndex("colour", "blue")).toEqual([again]);
    store.apply([{ type: "Deleted", object: again, final: true }], "Watch");
    store.apply([{ type: "Deleted", object: again, final: true }], "List");
    expect(store.size).toBe(0);
  });

  test("keeps the object that took the name of a deleted one", () => {
    const store = new Store<Thing>();
    store.apply([added(thing("a", "u1", "1")), added(thing("a", "u2", "2"))], "Watch");
    store.apply([{ type: "Deleted", object: thing("a", "u1", "3"), final: false }], "List");
    expect(store.get("n", "a")?.uid).toBe("u2");
  });

  test("freezes objects to the bottom", () => {
    const store = new Store<Thing>();
    store.apply([added(thing("a", "u1", "1", ["red"]))], "Watch");
    expect(() => store.get("n", "a")?.colours.push("blue")).toThrow(TypeError);
  });

  test("tells every subscriber, after the change, even when one throws", () => {
    const store = new Store<Thing>();
    const seen: (string | undefined)[] = [];
    store.subscribe(() => {
      throw new Error("subscriber");
    });
    const end = store.subscribe((changes, cause) => seen.push(`${cause} ${changes.length} ${store.size}`));
    expect(() => store.apply([added(thing("a", "u1", "1"))], "List")).toThrow(AggregateError);
    end();
    expect(() => store.apply([], "List")).toThrow(AggregateError);
    expect(seen).toEqual(["List 1 1"]);
  });

  test("refuses an index that was not declared", () => {
    expect(() => new Store<Thing>().byIndex("colour", "red")).toThrow(RangeError);
  });

  test("stays as it was for an object whose index function throws", () => {
    const store = new Store<Thing>({
      indexes: {
        first: (object) => {
          if (object.resourceVersion === "2") throw new Error("index");
          return ["x"];
        },
      },
    });
    const first = thing("a", "u1", "1");
    store.apply([added(first)], "Watch");
    const second = thing("a", "u1", "2");
    expect(() => store.apply([{ type: "Modified", object: second, previous: first }], "Watch")).toThrow("index");
    expect(store.get("n", "a")).toBe(first);
    expect(store.byIndex("first", "x")).toEqual([first]);
  });
});

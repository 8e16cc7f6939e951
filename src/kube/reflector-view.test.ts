import { describe, expect, test } from "vitest";

import { BarrierLog } from "./barrier.ts";
import { ReflectorView, type ViewOptions } from "./reflector-view.ts";
import type { Change, ObjectIdentity } from "./types.ts";
import type { RawObject } from "./watch.ts";

interface Thing extends ObjectIdentity {
  readonly note?: string;
}

type EventType = "ADDED" | "MODIFIED" | "DELETED";

function raw(name: string, uid: string, resourceVersion: number, note?: string): RawObject {
  const identity = { uid, namespace: "n", name, resourceVersion: String(resourceVersion) };
  return { ...identity, raw: note === undefined ? identity : { ...identity, note } };
}

/** A view whose projection leaves out the note `hidden` and throws at the note `broken`. */
function makeView(options: Partial<ViewOptions<Thing>> = {}) {
  const barriers = new BarrierLog();
  const view = new ReflectorView<Thing>({
    project: (object) => {
      const thing = object as Thing;
      if (thing.note === "broken") throw new Error("projection");
      return thing.note === "hidden" ? undefined : thing;
    },
    barriers,
    selective: false,
    ...options,
  });
  const event = (type: EventType, object: RawObject): string[] => {
    const changes: Change<Thing>[] = [];
    view.event(type, object, changes);
    view.commit();
    return changes.map(told);
  };
  const list = (revision: number, ...objects: RawObject[]): string[] => {
    const inProgress = view.beginList();
    view.addPage(inProgress, objects);
    const changes = view.finishList(inProgress, String(revision));
    view.listAccepted(inProgress, String(revision));
    return changes.map(told);
  };
  return { view, barriers, event, list };
}

/** A change in short: type, UID, revision, and what the type adds. */
function told(change: Change<Thing>): string {
  const { uid, resourceVersion } = change.object;
  const what = `${change.type} ${uid}@${resourceVersion}`;
  if (change.type === "Added") return `${what} after ${change.createdAfter}`;
  return change.type === "Deleted" ? `${what}${change.final ? " final" : ""}` : what;
}

describe("events", () => {
  test("of another UID under a name that is held are a deletion and an addition", () => {
    const { event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("MODIFIED", raw("a", "u2", 11))).toEqual(["Deleted u1@5", "Added u2@11 after -Infinity"]);
  });

  test("that delete another UID under a name show that the held one is gone, how is not known", () => {
    const { event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("DELETED", raw("a", "u2", 12))).toEqual(["Deleted u1@5"]);
  });

  test("that delete carry the last object", () => {
    const { event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("DELETED", raw("a", "u1", 12))).toEqual(["Deleted u1@12 final"]);
  });

  test("that delete what was never seen say nothing", () => {
    const { event, list } = makeView();
    list(10);
    expect(event("DELETED", raw("a", "u1", 12))).toEqual([]);
  });

  test.each<[string, EventType, RawObject]>([
    ["of the same revision again", "MODIFIED", raw("a", "u1", 12)],
    ["of an older revision", "MODIFIED", raw("a", "u1", 11)],
    ["of an older UID", "ADDED", raw("a", "u0", 11)],
    ["that delete an older UID", "DELETED", raw("a", "u0", 11)],
    ["that the last list already told", "DELETED", raw("a", "u1", 10)],
  ])("%s change nothing", (_name, type, object) => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5));
    event("MODIFIED", raw("a", "u1", 12));
    expect(event(type, object)).toEqual([]);
    expect(view.size).toBe(1);
  });
});

describe("a list", () => {
  test("does not bring back what an event replaced while the pages came", () => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5));
    const inProgress = view.beginList();
    view.addPage(inProgress, [raw("a", "u1", 5)]);
    event("ADDED", raw("a", "u2", 12));
    event("DELETED", raw("a", "u2", 13));
    expect(view.finishList(inProgress, "11").map(told)).toEqual([]);
  });

  test("brings back what an event deleted before the list's revision, since the list is the better witness", () => {
    const { view, barriers, event, list } = makeView();
    barriers.record(100, "10");
    list(10, raw("a", "u1", 5));
    const inProgress = view.beginList();
    event("DELETED", raw("a", "u1", 11));
    view.addPage(inProgress, [raw("a", "u1", 5)]);
    expect(view.finishList(inProgress, "12").map(told)).toEqual(["Added u1@5 after -Infinity"]);
  });

  test("in which a name has a new UID is a deletion, then an addition", () => {
    const { list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(list(20, raw("a", "u2", 15))).toEqual(["Deleted u1@5", "Added u2@15 after -Infinity"]);
  });

  test("tells whether it misses what is held", () => {
    const { view, list } = makeView();
    list(10, raw("a", "u1", 5));
    const inProgress = view.beginList();
    expect(view.hasMissing(inProgress, "11")).toBe(true);
    expect(view.hasMissing(inProgress, "4")).toBe(false);
    view.addPage(inProgress, [raw("a", "u1", 5)]);
    expect(view.hasMissing(inProgress, "11")).toBe(false);
  });

  test("does not project again what is held in the same revision", () => {
    let projected = 0;
    const { list } = makeView({ project: (object) => ((projected += 1), object as Thing) });
    list(10, raw("a", "u1", 5), raw("b", "u2", 6));
    list(20, raw("a", "u1", 5), raw("b", "u2", 15));
    expect(projected).toBe(3);
  });
});

describe("a list after the projection has changed", () => {
  /** A view that keeps the note of the objects named, and projects anew when told to. */
  function makeChanging() {
    const state = { version: 1, keeps: new Set<string>(), breaks: false, projected: 0 };
    const made = makeView({
      projectionVersion: () => state.version,
      project: (object) => {
        const { note, ...identity } = object as Thing;
        state.projected += 1;
        if (state.breaks) throw new Error("projection");
        return state.keeps.has(identity.name) && note !== undefined ? { ...identity, note } : identity;
      },
    });
    const keep = (...names: string[]): void => {
      state.version += 1;
      state.keeps = new Set(names);
    };
    return { ...made, state, keep };
  }
  const a = raw("a", "u1", 5, "x");
  const b = raw("b", "u2", 6, "y");

  test("tells of what came out otherwise and of nothing else, once", () => {
    const { list, keep, state } = makeChanging();
    list(10, a, b);
    keep("a");
    expect(list(20, a, b)).toEqual(["Modified u1@5"]);
    expect(list(30, a, b)).toEqual([]);
    expect(state.projected).toBe(4);
  });

  test("holds what it made of the object, and what it was before", () => {
    const { view, list, keep } = makeChanging();
    list(10, a);
    keep("a");
    const inProgress = view.beginList();
    view.addPage(inProgress, [a]);
    const [change] = view.finishList(inProgress, "20");
    expect(change).toMatchObject({ type: "Modified", object: { note: "x" } });
    expect(change).not.toHaveProperty("previous.note");
  });

  test("comes again when its differences were refused", () => {
    const { view, list, keep } = makeChanging();
    list(10, a);
    keep("a");
    const refused = view.beginList();
    view.addPage(refused, [a]);
    expect(view.finishList(refused, "20").map(told)).toEqual(["Modified u1@5"]);
    view.rollback();
    view.abandonList();
    expect(list(30, a)).toEqual(["Modified u1@5"]);
  });

  test("comes again when the projection changed while the list was read", () => {
    const { view, list, keep } = makeChanging();
    list(10, a, b);
    keep("a");
    const inProgress = view.beginList();
    view.addPage(inProgress, [a, b]);
    keep("a", "b");
    expect(view.finishList(inProgress, "20").map(told)).toEqual(["Modified u1@5"]);
    view.listAccepted(inProgress, "20");
    expect(list(30, a, b)).toEqual(["Modified u2@6"]);
  });

  test("does not undo what an event brought meanwhile", () => {
    const { view, event, list, keep } = makeChanging();
    list(10, a);
    keep("a");
    const inProgress = view.beginList();
    view.addPage(inProgress, [a]);
    expect(event("MODIFIED", raw("a", "u1", 12, "z"))).toEqual(["Modified u1@12"]);
    expect(view.finishList(inProgress, "11")).toEqual([]);
  });

  test("tries again what could not be projected anew, and says so until then", () => {
    const { view, list, keep, state } = makeChanging();
    list(10, a);
    keep("a");
    state.breaks = true;
    expect([list(20, a), view.unprojected, view.size]).toEqual([[], 1, 1]);
    expect([list(30, a), view.unprojected, view.size]).toEqual([[], 1, 1]);
    state.breaks = false;
    expect([list(40, a), view.unprojected, view.size]).toEqual([["Modified u1@5"], 0, 1]);
  });
});

describe("createdAfter", () => {
  const barriers: readonly [number, string][] = [
    [100, "9"],
    [200, "10"],
    [300, "15"],
    [400, "20"],
  ];

  function withBarriers(options: Partial<ViewOptions<Thing>> = {}) {
    const made = makeView(options);
    for (const [startedAt, revision] of barriers) made.barriers.record(startedAt, revision);
    return made;
  }

  test("is not proven by the first list", () => {
    expect(withBarriers().list(10, raw("a", "u1", 5))).toEqual(["Added u1@5 after -Infinity"]);
  });

  test.each<[string, EventType, number, number]>([
    ["an ADDED event: the newest barrier below its revision", "ADDED", 16, 300],
    ["an ADDED event at a barrier's revision: the one before", "ADDED", 15, 200],
    [
      "a MODIFIED event: nothing, since either its ADDED was lost or the last list lacked it",
      "MODIFIED",
      16,
      -Infinity,
    ],
  ])("of %s", (_name, type, revision, expected) => {
    const { event, list } = withBarriers();
    list(10);
    expect(event(type, raw("a", "u1", revision))).toEqual([`Added u1@${revision} after ${expected}`]);
  });

  test("of what only a list shows: the list before, since an event may have been lost", () => {
    const { list } = withBarriers();
    list(10);
    expect(list(20, raw("a", "u1", 16))).toEqual(["Added u1@16 after 200"]);
  });

  test("is not proven when an object shows that the list before left something out", () => {
    const { list } = withBarriers();
    list(15);
    expect(list(20, raw("a", "u1", 12), raw("b", "u2", 16))).toEqual([
      "Added u1@12 after -Infinity",
      "Added u2@16 after -Infinity",
    ]);
    const old = [raw("a", "u1", 12), raw("b", "u2", 16)];
    expect(list(25, ...old, raw("c", "u3", 22))).toEqual(["Added u3@22 after 400"]);
  });

  test("is not proven under a selector, which old objects may enter", () => {
    const { event, list } = withBarriers({ selective: true });
    list(10);
    expect(event("ADDED", raw("a", "u1", 16))).toEqual(["Added u1@16 after -Infinity"]);
    expect(list(20, raw("a", "u1", 16), raw("b", "u2", 12))).toEqual(["Added u2@12 after -Infinity"]);
  });

  test("is not proven once the projection has left something out", () => {
    const { event, list } = withBarriers();
    list(10, raw("a", "u1", 5, "hidden"));
    expect(event("MODIFIED", raw("a", "u1", 16))).toEqual(["Added u1@16 after -Infinity"]);
  });

  test("is not proven for what could not be projected before", () => {
    const { event, list } = withBarriers();
    list(10, raw("a", "u1", 5, "broken"));
    expect(event("MODIFIED", raw("a", "u1", 16))).toEqual(["Added u1@16 after -Infinity"]);
    expect(event("ADDED", raw("b", "u2", 17))).toEqual(["Added u2@17 after 300"]);
  });
});

describe("a deletion under a selector", () => {
  test("is not final, since the object may only have left the selection", () => {
    const { event, list } = makeView({ selective: true });
    list(10, raw("a", "u1", 5));
    expect(event("DELETED", raw("a", "u1", 12))).toEqual(["Deleted u1@12"]);
  });
});

describe("an object of no interest", () => {
  test("is not added, and one that becomes it is deleted", () => {
    const { event, list } = makeView();
    expect(list(10, raw("a", "u1", 5), raw("b", "u2", 6, "hidden"))).toEqual(["Added u1@5 after -Infinity"]);
    expect(event("MODIFIED", raw("a", "u1", 12, "hidden"))).toEqual(["Deleted u1@5"]);
  });

  test("ends by an event that carries it", () => {
    const { event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("DELETED", raw("a", "u1", 12, "hidden"))).toEqual(["Deleted u1@5"]);
  });
});

describe("an object that can not be projected", () => {
  test("stays as it was known, is counted, and is told of until it can be", () => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("MODIFIED", raw("a", "u1", 12, "broken"))).toEqual([]);
    expect([view.size, view.unprojected, view.takeFailedProjections(), view.takeFailedProjections()]).toEqual([
      1, 1, 1, 0,
    ]);
    expect(event("MODIFIED", raw("a", "u1", 13))).toEqual(["Modified u1@13"]);
    expect(view.unprojected).toBe(0);
  });

  test("is told of until it is deleted", () => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5, "broken"));
    expect([view.size, view.unprojected]).toEqual([0, 1]);
    expect(event("DELETED", raw("a", "u1", 12, "broken"))).toEqual([]);
    expect(view.unprojected).toBe(0);
  });

  test("is told of until a list no longer has it", () => {
    const { view, list } = makeView();
    list(10, raw("a", "u1", 5, "broken"));
    expect(list(20, raw("a", "u1", 5, "broken"))).toEqual([]);
    expect(view.unprojected).toBe(1);
    expect(list(30)).toEqual([]);
    expect(view.unprojected).toBe(0);
  });

  test("is still told of when a list shows an older revision that could be", () => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5));
    const inProgress = view.beginList();
    event("MODIFIED", raw("a", "u1", 12, "broken"));
    view.addPage(inProgress, [raw("a", "u1", 5)]);
    view.finishList(inProgress, "11");
    expect(view.unprojected).toBe(1);
  });

  test("is forgotten when newer events than the list have healed or deleted it", () => {
    const { view, event, list } = makeView();
    list(10);
    const inProgress = view.beginList();
    view.addPage(inProgress, [raw("a", "u1", 11, "broken"), raw("b", "u2", 11, "broken")]);
    event("MODIFIED", raw("a", "u1", 13));
    event("DELETED", raw("b", "u2", 14));
    view.finishList(inProgress, "12");
    expect(view.unprojected).toBe(0);
  });

  test("does not hide that the one before it under its name is gone", () => {
    const { view, event, list } = makeView();
    list(10, raw("a", "u1", 5));
    expect(event("ADDED", raw("a", "u2", 12, "broken"))).toEqual(["Deleted u1@5"]);
    expect(view.unprojected).toBe(1);
  });
});

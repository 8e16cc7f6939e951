import { X509Certificate } from "node:crypto";

import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";

import { type Authorities, bundleOf, readAuthorities, retire, writeAuthorities } from "./authorities.ts";
import { createAuthority, issueLeaf } from "./authority.ts";
import { belongTogether, certificatesIn, type KeyPair } from "./key-pair.ts";
import {
  type Facts,
  leafIsDue,
  lifetimesOf,
  nextStep,
  recreate,
  renewalOf,
  type ServedLeaf,
  shareOfLife,
} from "./rotation.ts";

const SECOND = 1_000;
const start = new Date("2026-03-01T00:00:00Z");
const at = (seconds: number): Date => new Date(start.getTime() + seconds * SECOND);
/** An authority lives for 1,000 s, a leaf for 120, and a new authority waits for 10 before it signs. */
const lifetimes = lifetimesOf(1_000 * SECOND, 120 * SECOND);

let first: KeyPair;
let second: KeyPair;
let rsaLike: KeyPair;

beforeAll(async () => {
  const validity = { notBefore: at(0), notAfter: at(1_000) };
  first = await createAuthority(validity);
  second = await createAuthority({ notBefore: at(600), notAfter: at(1_600) });
  rsaLike = { ...first, privateKey: second.privateKey };
});

const alone = (): Authorities => ({ current: first, next: undefined, previous: [] });
const pair = (): Authorities => ({ current: first, next: second, previous: [] });
const leaf = (authority: KeyPair, from: number): ServedLeaf => ({
  certificate: "leaf",
  privateKey: "key",
  authority: authority.certificate,
  notAfter: at(from + 120),
  renewAt: at(from + 80),
});
const facts = (seconds: number, more: Partial<Facts> = {}): Facts => ({
  now: at(seconds),
  leaf: undefined,
  publishedForMs: () => undefined,
  jitter: 0,
  ...more,
});

describe("certificates", () => {
  test("a leaf stands for the Service's name, is good for a server only, and hangs on its authority", async () => {
    const made = await issueLeaf(first, ["hooks.ops.svc"], { notBefore: at(0), notAfter: at(100) });
    const [parsed, authority] = [new X509Certificate(made.certificate), new X509Certificate(first.certificate)];
    expect(parsed.checkHost("hooks.ops.svc")).toBe("hooks.ops.svc");
    expect(parsed.checkHost("other.ops.svc")).toBeUndefined();
    expect(parsed.ca).toBe(false);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(parsed.checkIssued(authority) && parsed.verify(authority.publicKey)).toBe(true);
    expect(parsed.validToDate).toEqual(at(100));
    expect(belongTogether(made)).toBe(true);
    expect(authority.ca).toBe(true);
    expect(authority.subject).not.toBe(new X509Certificate(second.certificate).subject);
  });
});

describe("the Secret", () => {
  test("holds what was written into it", () => {
    const whole: Authorities = { ...pair(), previous: [{ certificate: second.certificate, until: at(5) }] };
    expect(readAuthorities(writeAuthorities(whole), at(1))).toEqual(whole);
  });

  const unusable: Record<string, () => Map<string, string>> = {
    "an empty Secret": () => new Map(),
    "one without a key": () => new Map([["ca.crt", first.certificate]]),
    "one whose key is another's": () => writeAuthorities({ ...alone(), current: rsaLike }),
    "one with garbage": () => new Map(Object.entries({ "ca.crt": "garbage", "ca.key": "garbage" })),
    "one whose list of predecessors alone is left": () => new Map([["previous.json", "[]"]]),
  };
  test.each(Object.entries(unusable))("%s holds no authority", (_, data) => {
    expect(readAuthorities(data(), at(1))).toBeUndefined();
  });

  test("an authority that has expired can not sign", () => {
    expect(readAuthorities(writeAuthorities(alone()), at(1_000))).toBeUndefined();
    expect(readAuthorities(writeAuthorities(pair()), at(1_000))).toEqual({
      current: second,
      next: undefined,
      previous: [],
    });
  });

  test("a certificate that is no authority can not sign", async () => {
    const made = await issueLeaf(first, ["x"], { notBefore: at(0), notAfter: at(100) });
    expect(readAuthorities(writeAuthorities({ ...alone(), current: made }), at(1))).toBeUndefined();
  });

  test("a broken successor and broken predecessors are read as none", () => {
    const data = writeAuthorities(pair());
    data.set("next.key", "garbage");
    data.set("previous.json", '[{"certificate":"x"},null,{"until":"2026"},"text"]');
    expect(readAuthorities(data, at(1))).toEqual(alone());
    data.set("previous.json", "{");
    expect(readAuthorities(data, at(1))).toEqual(alone());
  });

  test("the bundle names each authority once, and those that signed before too", () => {
    const previous = [
      { certificate: second.certificate, until: at(5) },
      { certificate: first.certificate, until: at(5) },
    ];
    expect(certificatesIn(bundleOf({ ...pair(), previous }))).toEqual([first.certificate, second.certificate]);
  });

  test("of one that retires twice the later end counts", () => {
    const once = retire([], { certificate: "a", until: at(9) });
    expect(retire(once, { certificate: "a", until: at(5) })).toEqual([{ certificate: "a", until: at(9) }]);
    expect(retire(once, { certificate: "a", until: at(12) })).toEqual([{ certificate: "a", until: at(12) }]);
  });
});

describe("nextStep", () => {
  const forSeconds = (seconds: number) => () => seconds * SECOND;

  test("without an authority one is made", () => {
    expect(nextStep(undefined, facts(1), lifetimes)).toEqual({ kind: "Create" });
  });

  test("a young authority is left alone", () => {
    expect(nextStep(alone(), facts(600), lifetimes)).toBeUndefined();
  });

  test("past two thirds of its life, less some jitter, it gets a successor", () => {
    expect(nextStep(alone(), facts(667), lifetimes)).toEqual({ kind: "Succeed" });
    expect(nextStep(alone(), facts(620, { jitter: 0.5 }), lifetimes)).toEqual({ kind: "Succeed" });
    expect(shareOfLife(first.certificate, 0.999)).toEqual(expect.any(Date) as Date);
  });

  test("what is good for a time is renewed at two thirds of it, or up to a tenth of it before", () => {
    expect(renewalOf(at(100), at(1_000), 0)).toEqual(at(700));
    expect(renewalOf(at(100), at(1_000), 0.5)).toEqual(at(655));
    expect(renewalOf(at(100), at(1_000), 1)).toEqual(at(610));
  });

  test("the successor waits until it has been published for long enough", () => {
    expect(nextStep(pair(), facts(700), lifetimes)).toBeUndefined();
    expect(nextStep(pair(), facts(700, { publishedForMs: forSeconds(9.9) }), lifetimes)).toBeUndefined();
    expect(nextStep(pair(), facts(700, { publishedForMs: forSeconds(10) }), lifetimes)).toEqual({
      kind: "Promote",
      authorities: { current: second, next: undefined, previous: [{ certificate: first.certificate, until: at(820) }] },
    });
  });

  test("a predecessor is forgotten when its last leaf has expired, not before", () => {
    const stored: Authorities = {
      current: second,
      next: undefined,
      previous: [{ certificate: first.certificate, until: at(820) }],
    };
    expect(nextStep(stored, facts(819), lifetimes)).toBeUndefined();
    expect(nextStep(stored, facts(820), lifetimes)).toMatchObject({ kind: "Forget", authorities: { previous: [] } });
  });

  test("whoever serves a leaf of an authority that nobody knows any more has it remembered", () => {
    const stored: Authorities = { current: second, next: undefined, previous: [] };
    const step = nextStep(stored, facts(700, { leaf: leaf(first, 650) }), lifetimes);
    expect(step).toMatchObject({
      kind: "Remember",
      authorities: { previous: [{ certificate: first.certificate, until: at(770) }] },
    });
    expect(nextStep(stored, facts(770, { leaf: leaf(first, 650) }), lifetimes)).toBeUndefined();
  });

  test("a leaf is due at first, at two thirds of its life, and when its authority has a trusted successor", () => {
    const trusted = { publishedForMs: forSeconds(10) };
    expect(leafIsDue(alone(), facts(1), lifetimes)).toBe(false);
    expect(leafIsDue(alone(), facts(1, { publishedForMs: forSeconds(0) }), lifetimes)).toBe(true);
    expect(leafIsDue(alone(), facts(79, { ...trusted, leaf: leaf(first, 0) }), lifetimes)).toBe(false);
    expect(leafIsDue(alone(), facts(80, { ...trusted, leaf: leaf(first, 0) }), lifetimes)).toBe(true);
    const other = leaf(second, 0);
    expect(leafIsDue(alone(), facts(1, { publishedForMs: forSeconds(9), leaf: other }), lifetimes)).toBe(false);
    expect(leafIsDue(alone(), facts(1, { ...trusted, leaf: other }), lifetimes)).toBe(true);
    expect(leafIsDue(alone(), facts(121, { publishedForMs: forSeconds(0), leaf: other }), lifetimes)).toBe(true);
  });
});

/** One cluster: a Secret, a configuration and replicas that look at them, without any I/O. */
class Model {
  seconds = 0;
  secret: Map<string, string> | undefined;
  bundle: string[] = [];
  readonly leaves: (ServedLeaf | undefined)[] = [undefined, undefined, undefined];
  /** When each authority came into the bundle, without a break. */
  #since = new Map<string, number>();

  facts(replica: number): Facts {
    return facts(this.seconds, {
      leaf: this.leaves[replica],
      jitter: replica / 3,
      publishedForMs: (certificate) => {
        const since = this.#since.get(certificate);
        return since === undefined ? undefined : (this.seconds - since) * SECOND;
      },
    });
  }

  publish(bundle: string[]): void {
    this.bundle = bundle;
    this.#since = new Map(bundle.map((one) => [one, this.#since.get(one) ?? this.seconds]));
  }

  living(): ServedLeaf[] {
    return this.leaves.filter((one): one is ServedLeaf => one !== undefined && one.notAfter > at(this.seconds));
  }

  /** What OwnCertificates does in one look. */
  async look(replica: number): Promise<void> {
    let stored: Authorities | undefined;
    for (;;) {
      stored = readAuthorities(this.secret ?? new Map(), at(this.seconds));
      const step = nextStep(stored, this.facts(replica), lifetimes);
      if (step === undefined) break;
      this.secret = writeAuthorities(await this.#carryOut(step.kind, step, stored, replica));
    }
    if (stored === undefined) throw new Error("there is no authority after all steps");
    const wanted = certificatesIn(bundleOf(stored));
    for (const { authority } of this.living()) {
      if (this.bundle.includes(authority)) expect(wanted).toContain(authority);
    }
    if (wanted.join() !== this.bundle.join()) this.publish(wanted);
    // What this replica serves is trusted from this look on, even where Secret and bundle knew nothing of it any more.
    const served = this.leaves[replica];
    if (served !== undefined && served.notAfter > at(this.seconds)) expect(this.bundle).toContain(served.authority);
    if (!leafIsDue(stored, this.facts(replica), lifetimes)) return;
    const before = this.leaves[replica];
    const { current } = stored;
    if (before !== undefined && before.notAfter > at(this.seconds) && before.authority !== current.certificate)
      expect(this.facts(replica).publishedForMs(current.certificate)).toBeGreaterThanOrEqual(lifetimes.propagationMs);
    expect(this.bundle).toContain(current.certificate);
    this.leaves[replica] = leaf(current, this.seconds);
  }

  async #carryOut(kind: string, step: object, stored: Authorities | undefined, replica: number): Promise<Authorities> {
    if ("authorities" in step) return step.authorities as Authorities;
    expect(["Create", "Succeed"]).toContain(kind);
    const made = await createAuthority({ notBefore: at(this.seconds), notAfter: at(this.seconds + 1_000) });
    return stored === undefined
      ? recreate(made, this.bundle, this.facts(replica), lifetimes)
      : { ...stored, next: made };
  }
}

describe("several replicas, whatever happens to the Secret and to them", () => {
  const replica = fc.nat({ max: 2 });
  const happening = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("look" as const), replica }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 60 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), replica }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("delete" as const, "corrupt" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("strip" as const) }) },
  );

  test("a published authority stays while its leaves are served, and none is served before its time", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 80 }), async (happenings) => {
        const model = new Model();
        for (const one of happenings) {
          if (one.do === "look") await model.look(one.replica);
          if (one.do === "pass") model.seconds += one.seconds;
          if (one.do === "restart") model.leaves[one.replica] = undefined;
          if (one.do === "delete") model.secret = undefined;
          if (one.do === "corrupt") model.secret = new Map([["ca.crt", "garbage"]]);
          if (one.do === "strip") model.publish([]);
        }
        // Left alone, all is well again: everybody serves, and everything that is served is trusted.
        for (let round = 0; round < 4; round++) {
          for (const index of [0, 1, 2]) await model.look(index);
          model.seconds += 11;
        }
        expect(model.living()).toHaveLength(3);
        for (const { authority } of model.living()) expect(model.bundle).toContain(authority);
      }),
      { numRuns: 40 },
    );
  });

  test("what is served is trusted again with its replica's next look after Secret and bundle were lost at once", async () => {
    const model = new Model();
    for (const index of [0, 1]) await model.look(index);
    const [, kept] = model.leaves;
    model.secret = undefined;
    model.publish([]);
    model.leaves[0] = undefined;
    await model.look(0);
    expect(model.bundle).not.toContain(kept?.authority);
    await model.look(1);
    expect(model.bundle).toContain(kept?.authority);
    expect(model.leaves[1]).toBe(kept);
  });

  test("over years every authority has a successor, and the bundle stays small", async () => {
    const model = new Model();
    const seen = new Set<string>();
    for (; model.seconds < 6_000; model.seconds += 7) {
      for (const index of [0, 1, 2]) await model.look(index);
      for (const { authority } of model.living()) {
        expect(model.bundle).toContain(authority);
        seen.add(authority);
      }
      expect(model.living()).toHaveLength(3);
      expect(model.bundle.length).toBeLessThanOrEqual(3);
    }
    expect(seen.size).toBeGreaterThanOrEqual(8);
  });
});

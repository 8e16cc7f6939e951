import { dubboApplication } from "./dubbo-application.ts";
import { dubboInterface } from "./dubbo-interface.ts";
import { etcdNaming } from "./etcd-naming.ts";
import { goFrame } from "./go-frame.ts";
import { goMicro } from "./go-micro.ts";
import { goZero } from "./go-zero.ts";
import { kitex } from "./kitex.ts";
import { kratos } from "./kratos.ts";
import { type Decoded, type IgnoredReason, type Layout, type LayoutName, textOf } from "./layout.ts";

const LAYOUTS: Readonly<Record<LayoutName, Layout>> = {
  GoMicro: goMicro,
  GoZero: goZero,
  Kratos: kratos,
  DubboInterface: dubboInterface,
  DubboApplication: dubboApplication,
  EtcdNaming: etcdNaming,
  Kitex: kitex,
  GoFrame: goFrame,
};

/** Longer than any registration seen; a Dubbo key with hundreds of method names stays below. */
const MAX_KEY_BYTES = 16 * 1024;
/** go-micro lists every endpoint with its types: tens of KiB. Above this nothing is parsed. */
const MAX_VALUE_BYTES = 256 * 1024;

/** One item of `Registry.spec.etcd.layouts`. */
export interface LayoutRule {
  readonly layout: LayoutName;
  /** Without the slash at the end; undefined stands for the framework's default. */
  readonly prefix?: string | undefined;
}

/** A key as etcd holds it. */
export interface RawEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: string;
}

/** What became of one key. `id` is the key as text. */
export type Reading =
  | { readonly id: string; readonly layout: Layout; readonly decoded: Decoded }
  | { readonly id: string; readonly ignored: IgnoredReason };

interface Bound {
  readonly layout: Layout;
  readonly prefix: string;
}

/** Marks the id of a key that is no text. No prefix starts so, hence no such id is the key of an instance. */
const NO_TEXT = "\0";

/** The key as text: what an instance's record is known by. */
export function idOf(key: Buffer): string {
  const text = key.length > MAX_KEY_BYTES ? undefined : textOf(key);
  return text ?? `${NO_TEXT}${key.subarray(0, MAX_KEY_BYTES).toString("latin1")}`;
}

/** All layouts of one Registry: which prefixes to read, and what a key under them is. */
export class LayoutSet {
  readonly #bounds: readonly Bound[];

  /** @throws RangeError when a layout without a default has no prefix */
  constructor(rules: readonly LayoutRule[]) {
    this.#bounds = rules
      .map(({ layout, prefix }) => {
        const written = prefix ?? LAYOUTS[layout].defaultPrefix;
        if (written === undefined) throw new RangeError(`layout ${layout} needs a prefix`);
        return { layout: LAYOUTS[layout], prefix: written.replace(/\/+$/, "") };
      })
      // The longest prefix knows best what its keys are.
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  /** Prefixes to read, each with its slash; none lies inside another, so that no key is read twice. */
  get prefixes(): readonly string[] {
    const all = [...new Set(this.#bounds.map(({ prefix }) => `${prefix}/`))];
    return all.filter((prefix) => !all.some((other) => other !== prefix && prefix.startsWith(other))).sort();
  }

  /** Pure and total, like the layouts. */
  read({ key, value, lease }: RawEntry): Reading {
    const id = idOf(key);
    if (id.startsWith(NO_TEXT)) return { id, ignored: "InvalidKey" };
    if (value.length > MAX_VALUE_BYTES) return { id, ignored: "TooLarge" };
    let reason: IgnoredReason = "UnknownKey";
    for (const { layout, prefix } of this.#bounds) {
      if (!id.startsWith(`${prefix}/`)) continue;
      const rest = id.slice(prefix.length + 1);
      const answer = rest === "" ? "UnknownKey" : layout.decode({ key: id, rest, prefix, value, lease });
      if (typeof answer !== "string") return { id, layout, decoded: answer };
      if (reason === "UnknownKey") reason = answer;
    }
    return { id, ignored: reason };
  }
}

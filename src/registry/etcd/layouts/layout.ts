import { isUtf8 } from "node:buffer";

import type { Endpoint } from "../../port.ts";

/** The name in `Registry.spec.etcd.layouts`. */
export type LayoutName =
  "GoMicro" | "GoZero" | "Kratos" | "DubboInterface" | "DubboApplication" | "EtcdNaming" | "Kitex" | "GoFrame";

/** What etcd holds under one key, as a layout sees it. */
export interface Entry {
  /** The whole key; valid UTF-8, starts with `prefix` and a slash. */
  readonly key: string;
  /** What follows that slash; not empty. */
  readonly rest: string;
  /** Without the slash at the end. */
  readonly prefix: string;
  readonly value: Buffer;
  /** Decimal lease id, "0" without a lease. */
  readonly lease: string;
}

/** What a framework registered. */
export interface Decoded {
  readonly service: string;
  readonly instance: string;
  readonly endpoints: readonly Endpoint[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Why a key under a layout's prefix is not an instance.
 * - `InvalidKey`: not UTF-8, or too long to be one.
 * - `TooLarge`: the value is longer than any registration.
 * - `Directory`: a key that frameworks put above their instances.
 * - `NotAProvider`: consumers, routers, configurators.
 * - `UnknownKey`: the key has another shape.
 * - `InvalidValue`: the value is no text or no JSON of the layout's shape.
 * - `Mismatch`: key and value contradict each other.
 * - `LeaseMismatch`: the key names another lease than it has.
 * - `InvalidAddress`: an address in it is none, or there is none.
 * - `NotAnInstance`: well-formed, but says itself that nothing is offered.
 */
export type IgnoredReason =
  | "InvalidKey"
  | "TooLarge"
  | "Directory"
  | "NotAProvider"
  | "UnknownKey"
  | "InvalidValue"
  | "Mismatch"
  | "LeaseMismatch"
  | "InvalidAddress"
  | "NotAnInstance";

/** How one framework writes its registrations into etcd. */
export interface Layout {
  readonly name: LayoutName;
  /** The framework's own default; undefined where the application chooses. */
  readonly defaultPrefix: string | undefined;
  /** Lease the framework asks for unless told otherwise, milliseconds. */
  readonly ttlMs: number;
  /** Pure and total: whatever the bytes, it answers. What does not match exactly is not an instance. */
  decode(entry: Entry): Decoded | IgnoredReason;
}

/** A registration with more addresses than this is not one. */
export const MAX_ENDPOINTS = 64;

/** @returns undefined when the bytes are not UTF-8 */
export function textOf(value: Buffer): string | undefined {
  return isUtf8(value) ? value.toString("utf8") : undefined;
}

/** @returns undefined when the bytes are not exactly one JSON value in UTF-8 */
export function jsonOf(value: Buffer): unknown {
  const text = textOf(value);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Splits at slashes; undefined when a part is empty. */
export function segmentsOf(path: string): readonly string[] | undefined {
  const segments = path.split("/");
  return segments.includes("") ? undefined : segments;
}

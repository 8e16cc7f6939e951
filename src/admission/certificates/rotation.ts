import { type Authorities, type RetiredAuthority, retire } from "./authorities.ts";
import { parseCertificate, type KeyPair } from "./key-pair.ts";

/** How long certificates live and wait, all in milliseconds. */
export interface Lifetimes {
  readonly authorityMs: number;
  readonly leafMs: number;
  /** From a new authority's publication until it signs: every API server has read the configuration by then. */
  readonly propagationMs: number;
  /** How far certificates begin in the past, for API servers whose clocks are behind. */
  readonly backdateMs: number;
}

/** As Node writes the subject of the authorities that we make. */
const AUTHORITY_SUBJECT = /^CN=hygeia-webhook-ca-\w+\nO=hygeia\.dev$/;

const HOUR_MS = 3_600_000;

/**
 * What follows from the lives of authorities and leaves: two minutes until a new authority signs, an hour of difference
 * between clocks, and less where certificates live for minutes.
 */
export function lifetimesOf(authorityMs: number, leafMs: number): Lifetimes {
  return {
    authorityMs,
    leafMs,
    propagationMs: Math.min(120_000, leafMs / 12),
    backdateMs: Math.min(HOUR_MS, leafMs / 10),
  };
}

/** What a replica serves with. */
export interface ServedLeaf extends KeyPair {
  /** The certificate of the authority that signed it, PEM. */
  readonly authority: string;
  /** When it is to be replaced. */
  readonly renewAt: Date;
  readonly notAfter: Date;
}

/** What one replica knows when it looks at the Secret. */
export interface Facts {
  readonly now: Date;
  readonly leaf: ServedLeaf | undefined;
  /** For how long the configuration has held this authority without a break, milliseconds; undefined: it does not. */
  readonly publishedForMs: (certificate: string) => number | undefined;
  /** In [0, 1): keeps replicas from doing the same at the same moment. */
  readonly jitter: number;
}

/** The next change of the authorities; every replica may make it, and the Secret's version lets only one through. */
export type Step =
  /** There is none that can sign. */
  | { readonly kind: "Create" }
  /** The current one is past two thirds of its life. */
  | { readonly kind: "Succeed" }
  /** The successor has been published for long enough. */
  | { readonly kind: "Promote"; readonly authorities: Authorities }
  /** A leaf is served here whose authority the others no longer know. */
  | { readonly kind: "Remember"; readonly authorities: Authorities }
  /** No leaf of a predecessor can be alive any more. */
  | { readonly kind: "Forget"; readonly authorities: Authorities };

/** Decides what is to become of the authorities. Pure; undefined when all is well. */
export function nextStep(stored: Authorities | undefined, facts: Facts, lifetimes: Lifetimes): Step | undefined {
  if (stored === undefined) return { kind: "Create" };
  const { now, leaf } = facts;
  if (leaf !== undefined && leaf.notAfter > now && !trusts(stored, leaf.authority)) {
    const previous = retire(stored.previous, { certificate: leaf.authority, until: leaf.notAfter });
    return { kind: "Remember", authorities: { ...stored, previous } };
  }
  const { current, next } = stored;
  if (next !== undefined) {
    if ((facts.publishedForMs(next.certificate) ?? -1) >= lifetimes.propagationMs)
      return { kind: "Promote", authorities: promote(stored, next, now, lifetimes) };
  } else if (now >= shareOfLife(current.certificate, facts.jitter)) {
    return { kind: "Succeed" };
  }
  const previous = stored.previous.filter(({ until }) => until > now);
  return previous.length < stored.previous.length
    ? { kind: "Forget", authorities: { ...stored, previous } }
    : undefined;
}

/**
 * The authorities after the Secret was lost: those whose leaves may be served go on being trusted, also when only the
 * configuration still tells of them.
 * @param published the authorities that the API server trusts now, PEM each
 */
export function recreate(
  made: KeyPair,
  published: readonly string[],
  { now, leaf }: Pick<Facts, "now" | "leaf">,
  { leafMs }: Lifetimes,
): Authorities {
  const ours = published.filter((pem) => {
    const parsed = parseCertificate(pem);
    return parsed !== undefined && parsed.ca && parsed.validToDate > now && AUTHORITY_SUBJECT.test(parsed.subject);
  });
  const until = new Date(now.getTime() + leafMs);
  let previous: readonly RetiredAuthority[] = [];
  for (const certificate of ours) previous = retire(previous, { certificate, until });
  if (leaf !== undefined && leaf.notAfter > now) previous = retire(previous, { certificate: leaf.authority, until });
  return { current: made, next: undefined, previous };
}

/** Whether this replica is to make itself a new leaf now; it keeps the old one until the API server trusts the new. */
export function leafIsDue(stored: Authorities, facts: Facts, lifetimes: Lifetimes): boolean {
  const { leaf, now } = facts;
  const publishedFor = facts.publishedForMs(stored.current.certificate);
  if (publishedFor === undefined) return false;
  if (leaf === undefined || leaf.notAfter <= now) return true;
  if (leaf.authority === stored.current.certificate) return now >= leaf.renewAt;
  return publishedFor >= lifetimes.propagationMs;
}

/** Two thirds of a certificate's life, less up to a tenth of it; a certificate that can not be read is due. */
export function shareOfLife(certificate: string, jitter: number): Date {
  const parsed = parseCertificate(certificate);
  return parsed === undefined ? new Date(0) : renewalOf(parsed.validFromDate, parsed.validToDate, jitter);
}

/** When what is good from one time until another is to be renewed. @param jitter in [0, 1) */
export function renewalOf(from: Date, until: Date, jitter: number): Date {
  return new Date(from.getTime() + (until.getTime() - from.getTime()) * (2 / 3 - 0.1 * jitter));
}

function promote(stored: Authorities, next: KeyPair, now: Date, { leafMs }: Lifetimes): Authorities {
  const until = new Date(now.getTime() + leafMs);
  const previous = retire(stored.previous, { certificate: stored.current.certificate, until });
  return { current: next, next: undefined, previous };
}

function trusts({ current, next, previous }: Authorities, certificate: string): boolean {
  return [current, ...(next === undefined ? [] : [next]), ...previous].some((one) => one.certificate === certificate);
}

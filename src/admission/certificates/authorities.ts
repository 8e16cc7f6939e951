import { createPrivateKey } from "node:crypto";

import { belongTogether, certificatesIn, type KeyPair, parseCertificate } from "./key-pair.ts";

/** An authority that signs no more, but whose leaves may still be served somewhere. */
export interface RetiredAuthority {
  /** PEM. */
  readonly certificate: string;
  /** From then on nobody serves a leaf of it. */
  readonly until: Date;
}

/** The certificate authorities of the webhook, as the Secret holds them for all replicas. */
export interface Authorities {
  /** Signs leaves. */
  readonly current: KeyPair;
  /** Is published and signs nothing yet: it follows when every API server has had time to learn of it. */
  readonly next: KeyPair | undefined;
  readonly previous: readonly RetiredAuthority[];
}

/** Keys of the Secret. */
const KEYS = {
  currentCertificate: "ca.crt",
  currentKey: "ca.key",
  nextCertificate: "next.crt",
  nextKey: "next.key",
  previous: "previous.json",
} as const;

/** More than this at once means that something makes authorities without end; the bundle stays small. */
const previousLimit = 8;

/**
 * Reads the Secret's values. Undefined when they hold no authority that can sign at this time: the Secret is new, was
 * overwritten, or has expired. A broken successor or a broken list of predecessors is read as none.
 */
export function readAuthorities(data: ReadonlyMap<string, string>, now: Date): Authorities | undefined {
  const current = pairIn(data, KEYS.currentCertificate, KEYS.currentKey, now);
  const next = pairIn(data, KEYS.nextCertificate, KEYS.nextKey, now);
  const previous = previousIn(data.get(KEYS.previous));
  if (current !== undefined) return { current, next, previous };
  return next === undefined ? undefined : { current: next, next: undefined, previous };
}

/** The values that {@link readAuthorities} reads. */
export function writeAuthorities({ current, next, previous }: Authorities): Map<string, string> {
  const kept = previous.map(({ certificate, until }) => ({ certificate, until: until.toISOString() }));
  return new Map([
    [KEYS.currentCertificate, current.certificate],
    [KEYS.currentKey, current.privateKey],
    ...(next === undefined
      ? []
      : ([
          [KEYS.nextCertificate, next.certificate],
          [KEYS.nextKey, next.privateKey],
        ] as const)),
    [KEYS.previous, JSON.stringify(kept)],
  ]);
}

/** What the API server is to trust: every authority of which a leaf is served or soon may be. PEM, no doubles. */
export function bundleOf({ current, next, previous }: Authorities): string {
  const all = [current, ...(next === undefined ? [] : [next]), ...previous].map(({ certificate }) => certificate);
  return [...new Set(all.flatMap(certificatesIn))].join("");
}

/** Adds an authority to those whose leaves are still served; of one that is there already the later end counts. */
export function retire(previous: readonly RetiredAuthority[], retired: RetiredAuthority): RetiredAuthority[] {
  const others = previous.filter(({ certificate }) => certificate !== retired.certificate);
  const known = previous.find(({ certificate }) => certificate === retired.certificate);
  const until = known !== undefined && known.until > retired.until ? known.until : retired.until;
  return [...others, { certificate: retired.certificate, until }]
    .toSorted((a, b) => b.until.getTime() - a.until.getTime())
    .slice(0, previousLimit);
}

function pairIn(
  data: ReadonlyMap<string, string>,
  certificateKey: string,
  privateKeyKey: string,
  now: Date,
): KeyPair | undefined {
  const [certificate] = certificatesIn(data.get(certificateKey) ?? "");
  const pair = { certificate: certificate ?? "", privateKey: data.get(privateKeyKey) ?? "" };
  const parsed = parseCertificate(pair.certificate);
  if (parsed === undefined || !parsed.ca || parsed.validToDate <= now || !belongTogether(pair)) return undefined;
  // What we sign with, and nothing else: a key of another kind would only fail later.
  const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(pair.privateKey);
  return asymmetricKeyType === "ec" && asymmetricKeyDetails?.namedCurve === "prime256v1" ? pair : undefined;
}

function previousIn(text: string | undefined): RetiredAuthority[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return (parsed as unknown[]).flatMap((item) => {
    const { certificate, until } = (item ?? {}) as { certificate?: unknown; until?: unknown };
    const [pem] = typeof certificate === "string" ? certificatesIn(certificate) : [];
    const end = typeof until === "string" ? new Date(until) : new Date(Number.NaN);
    return pem === undefined || Number.isNaN(end.getTime()) ? [] : [{ certificate: pem, until: end }];
  });
}

/**
 * How many DNS queries the lookup of a name costs, and which names it asks for in which order, as the resolvers of
 * glibc (`res_search`), musl (`name_from_dns_search`) and Go (`nameList`) do it. Queries are counted as a name server
 * sees them when it answers in time; musl sends each to every name server at once.
 */

/** Who looks up. Go is Go's own resolver; with cgo it is the libc's. */
export type Libc = "Glibc" | "Musl" | "Go";

/** What the name server says about one name. `NoAddress`: the name exists, without addresses (NODATA). */
export type Answer = "Address" | "NoSuchName" | "NoAddress" | "ServerFailure";

export interface Resolver {
  readonly libc: Libc;
  /** Names with fewer dots are searched first. */
  readonly ndots: number;
  /** Search domains in their order, without a dot at the end. */
  readonly searches: readonly string[];
  /** 2 where addresses of IPv4 and of IPv6 are asked for (A and AAAA), else 1. */
  readonly families: 1 | 2;
  /** How often a name server that fails is asked before it is given up: the option attempts. Default 2. */
  readonly attempts?: number;
  /** glibc's option no-tld-query: a name without dots is never asked for as it is. */
  readonly noTldQuery?: boolean;
}

export interface Lookup {
  /** Names that were asked for, in this order, without a dot at the end. */
  readonly asked: readonly string[];
  readonly queries: number;
  /** The name that has addresses; undefined when the lookup fails. */
  readonly found: string | undefined;
}

/** What every resolver takes without the option attempts. */
export const DEFAULT_ATTEMPTS = 2;
/** musl asks again at once when it is told of a failure: so often within each attempt, for each query. */
const MUSL_AT_ONCE = 2;
/** Longest name that can be put into a query, without the dot at its end. */
const LONGEST_NAME = 253;

/**
 * @param name a host name; with a dot at the end it is asked for as it is
 * @param answerOf what the name server says about a name without a dot at its end
 */
export function lookUp(name: string, resolver: Resolver, answerOf: (name: string) => Answer): Lookup {
  const asked: string[] = [];
  let sent = 0;
  let found: string | undefined;
  for (const candidate of candidates(name, resolver)) {
    asked.push(candidate);
    const answer = answerOf(candidate);
    sent += answer === "ServerFailure" ? timesAsked(resolver) : 1;
    if (answer === "Address") found = candidate;
    // musl goes on only when it is told that there is no such name.
    const ends = resolver.libc === "Musl" ? answer !== "NoSuchName" : answer === "Address";
    if (ends) break;
  }
  return { asked, queries: sent * resolver.families, found };
}

/** How often one name server is asked for a name with whose answer it fails. */
function timesAsked({ libc, attempts = DEFAULT_ATTEMPTS }: Resolver): number {
  return libc === "Musl" ? attempts * (1 + MUSL_AT_ONCE) : attempts;
}

/** The names that are asked for until one has addresses, without a dot at the end. */
export function candidates(name: string, resolver: Resolver): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)].filter(isAskable);
  const { libc, ndots, searches, noTldQuery } = resolver;
  const dots = name.split(".").length - 1;
  const searched = searches.map((domain) => `${name}.${domain}`).filter(isAskable);
  const asIs = [name].filter(isAskable);
  if (dots >= ndots) return libc === "Musl" ? asIs : [...asIs, ...searched];
  const neverAsIs = libc === "Glibc" && noTldQuery === true && dots === 0 && searches.length > 0;
  return neverAsIs ? searched : [...searched, ...asIs];
}

/** How people write it. */
export function nameOf(libc: Libc): string {
  return { Glibc: "glibc", Musl: "musl", Go: "Go" }[libc];
}

function isAskable(name: string): boolean {
  return name.length > 0 && name.length <= LONGEST_NAME;
}

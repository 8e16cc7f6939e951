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

/** Longest name that can be put into a query, without the dot at its end. */
const LONGEST_NAME = 253;

/**
 * @param name a host name; with a dot at the end it is asked for as it is
 * @param answerOf what the name server says about a name without a dot at its end
 */
export function lookUp(name: string, resolver: Resolver, answerOf: (name: string) => Answer): Lookup {
  const asked: string[] = [];
  let found: string | undefined;
  for (const candidate of candidates(name, resolver)) {
    asked.push(candidate);
    const answer = answerOf(candidate);
    if (answer === "Address") found = candidate;
    // musl goes on only when it is told that there is no such name.
    const ends = resolver.libc === "Musl" ? answer !== "NoSuchName" : answer === "Address";
    if (ends) break;
  }
  return { asked, queries: asked.length * resolver.families, found };
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

function isAskable(name: string): boolean {
  return name.length > 0 && name.length <= LONGEST_NAME;
}

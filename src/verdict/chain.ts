import {
  addressIsReused,
  cameBack,
  type Check,
  deathIsConfirmed,
  deathIsUnconfirmed,
  isForeign,
  newbornIsPossible,
  nobodyIsThere,
  nodeIsUnreachable,
  ownerLives,
  ownerTerminates,
  portIsUndecided,
  showsLife,
  viewIsStale,
  witnessDisagrees,
} from "./checks.ts";
import type { EndpointFacts, Facts } from "./facts.ts";
import { gather, type JudgeInput } from "./gather.ts";
import { afterJudgement } from "./memory.ts";
import type { Evidence, EvidenceClass, InstanceMemory, Verdict, VerdictKind } from "./types.ts";

/** The order is the rule: the first check that decides wins. The last one always decides. */
const chain: readonly Check[] = [
  viewIsStale,
  isForeign,
  portIsUndecided,
  ownerLives,
  cameBack,
  ownerTerminates,
  witnessDisagrees,
  deathIsConfirmed,
  addressIsReused,
  showsLife,
  newbornIsPossible,
  nodeIsUnreachable,
  deathIsUnconfirmed,
  nobodyIsThere,
];

/** Judges one record by everything known now. `memory` is to be kept for the next judgement of the same record. */
export function judge(input: JudgeInput): { readonly verdict: Verdict; readonly memory: InstanceMemory } {
  const facts = gather(input);
  const verdict = decide(facts);
  return { verdict, memory: afterJudgement(facts, verdict) };
}

/** The verdict that the facts allow; one and the same record is dead only when all its endpoints are. */
export function decide(facts: Facts): Verdict {
  return combine(facts.endpoints.map((endpoint) => decideEndpoint(facts, endpoint)));
}

function decideEndpoint(facts: Facts, endpoint: EndpointFacts): Verdict {
  for (const check of chain) {
    const verdict = check(facts, endpoint);
    if (verdict !== undefined) return verdict;
  }
  throw new TypeError("the chain has no check that always decides");
}

/** Most alive first: what one endpoint still has, the whole record has. */
const aliveness: readonly VerdictKind[] = [
  "Live",
  "Resurrected",
  "Contested",
  "Draining",
  "Unknown",
  "Foreign",
  "Suspect",
  "Zombie",
];

/** Weakest first: what is claimed of a record rests on its weakest endpoint. */
const strength: readonly EvidenceClass[] = ["Absent", "Unconfirmed", "Reused", "Terminating", "Confirmed"];

function combine(verdicts: readonly Verdict[]): Verdict {
  const [first, ...others] = verdicts.toSorted((a, b) => aliveness.indexOf(a.kind) - aliveness.indexOf(b.kind));
  if (first === undefined) throw new TypeError(`a record has at least one endpoint`);
  if (others.length === 0) return first;
  const reviews = verdicts.map(({ reviewAfterMs }) => reviewAfterMs).filter((ms) => ms !== undefined);
  return {
    ...first,
    evidence: combineEvidence(first, verdicts),
    reviewAfterMs: reviews.length === 0 ? undefined : Math.min(...reviews),
    needsLifeReading: verdicts.some(({ needsLifeReading }) => needsLifeReading),
    needsCompleteList: verdicts.some(({ needsCompleteList }) => needsCompleteList),
  };
}

/** Nothing can be acted on unless every endpoint can. */
function combineEvidence(first: Verdict, verdicts: readonly Verdict[]): Evidence | undefined {
  const proofs = verdicts.map(({ evidence }) => evidence).filter((evidence) => evidence !== undefined);
  const [weakest] = proofs.toSorted((a, b) => strength.indexOf(a.class) - strength.indexOf(b.class));
  if (weakest === undefined || first.evidence === undefined || proofs.length < verdicts.length) return undefined;
  return {
    ...weakest,
    since: Math.max(...proofs.map(({ since }) => since)),
    needsConfirmRead: proofs.some(({ needsConfirmRead }) => needsConfirmRead),
  };
}

/** A Consul record's fence: the indexes of the service and of each of its own checks. */
export interface RecordVersion {
  /** Counts up whenever a registry's data turns out not to continue what we knew; never repeats in this process. */
  readonly era: number;
  /** CreateIndex of the service. */
  readonly created: number;
  /** ModifyIndex of the service. */
  readonly modified: number;
  /** CheckID and ModifyIndex, in the order of the ids. */
  readonly checks: readonly (readonly [id: string, modified: number])[];
}

let lastEra = 0;

/** Indexes of one era are never taken for those of another: neither after a restore, nor by another adapter. */
export function nextEra(): number {
  lastEra++;
  return lastEra;
}

export function formatVersion({ era, created, modified, checks }: RecordVersion): string {
  return JSON.stringify([era, created, modified, ...checks]);
}

/** @throws TypeError when the text is no version of a Consul record */
export function parseVersion(text: string): RecordVersion {
  try {
    const [era, created, modified, ...checks] = JSON.parse(text) as [number, number, number, ...[string, number][]];
    if ([era, created, modified].every(Number.isSafeInteger)) return { era, created, modified, checks };
  } catch {
    // Said below.
  }
  throw new TypeError("not the version of a Consul record");
}

/** An etcd record's fence. */
export interface RecordVersion {
  /** Counts up whenever a registry's data turns out not to continue what we knew; never repeats in this process. */
  readonly era: number;
  readonly modRevision: number;
  /** Decimal lease id, "0" without a lease. */
  readonly lease: string;
}

let lastEra = 0;

/** Revisions of one era are never taken for those of another: neither after a restore, nor by another adapter. */
export function nextEra(): number {
  lastEra++;
  return lastEra;
}

export function formatVersion({ era, modRevision, lease }: RecordVersion): string {
  return `${String(era)}.${String(modRevision)}.${lease}`;
}

/** @throws TypeError when the text is no version of an etcd record */
export function parseVersion(text: string): RecordVersion {
  const [, era, modRevision, lease] = /^(\d+)\.(\d+)\.(\d+)$/.exec(text) ?? [];
  if (era === undefined || modRevision === undefined || lease === undefined)
    throw new TypeError("not the version of an etcd record");
  return { era: Number(era), modRevision: Number(modRevision), lease };
}

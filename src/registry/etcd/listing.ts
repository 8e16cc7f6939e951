import type { IRangeResponse, IResponseHeader } from "etcd3";

import { RegistryError } from "../errors.ts";
import { type EtcdClient, within } from "./client.ts";
import type { KeyValue } from "./key-table.ts";
import { keyAfter, rangeEnd } from "./keys.ts";

/** Keys a page. A page of usual registrations is some 250 KiB. */
const PAGE = 500;

/** A complete and consistent reading of some prefixes. */
export interface Listing {
  /** The revision all of it was read at. */
  readonly revision: number;
  readonly header: IResponseHeader;
  /** Local monotonic milliseconds at which the first request began: everything committed before is in it. */
  readonly startedAt: number;
}

export interface ListingOptions {
  readonly prefixes: readonly string[];
  readonly pageTimeout: number;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Gets each page as it comes, so that values need not be held together. */
  readonly onPage: (entries: readonly KeyValue[]) => void;
}

/**
 * Reads everything under the prefixes at one revision, page by page. The first request is linearizable, so that what was
 * committed before it began is included.
 * @throws RegistryError; `Compacted` when the revision left while it was being read
 */
export async function listAll(client: EtcdClient, options: ListingOptions): Promise<Listing> {
  const startedAt = options.now();
  let first: IResponseHeader | undefined;
  let limit = PAGE;
  for (const prefix of options.prefixes) {
    const start = Buffer.from(prefix);
    const end = rangeEnd(start);
    let from: Buffer = start;
    for (;;) {
      let page: IRangeResponse;
      try {
        page = await client.kv.range(
          { key: from, range_end: end, limit, revision: first?.revision ?? 0 },
          within(options.pageTimeout, options.signal),
        );
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        if (error.code === "PermissionDenied")
          throw new RegistryError(error.code, `${error.message}: prefix ${prefix}`);
        if (error.code !== "TooLarge" || limit === 1) throw error;
        // Somebody keeps large values here: smaller pages hold fewer of them.
        limit = Math.ceil(limit / 2);
        continue;
      }
      first ??= page.header;
      options.onPage(page.kvs);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      from = keyAfter(last.key);
      limit = Math.min(PAGE, limit * 2);
    }
  }
  if (first === undefined) throw new RangeError("nothing to list");
  return { revision: Number(first.revision), header: first, startedAt };
}

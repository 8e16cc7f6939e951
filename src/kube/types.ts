/** What every object kept from the Kubernetes API is known by. */
export interface ObjectIdentity {
  /** `metadata.uid`; two objects that had one name after another have different UIDs. */
  readonly uid: string;
  /** `metadata.namespace`, or the empty string for a cluster-scoped object. */
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
}

/** One difference between what a sink knows and what the API server says. */
export type Change<T extends ObjectIdentity> =
  | {
      readonly type: "Added";
      readonly object: T;
      /**
       * A time on the local monotonic clock, in milliseconds, at which this UID is proven not to have existed yet:
       * a quorum read that began then returned a revision older than the object's first. `-Infinity` when nothing
       * is proven (the first list). So: the object was created after this moment.
       */
      readonly createdAfter: number;
    }
  | { readonly type: "Modified"; readonly object: T; readonly previous: T }
  | {
      readonly type: "Deleted";
      /** The object carried by the DELETED event when `final`, else the last one we had. */
      readonly object: T;
      /** True when a DELETED event was seen; false when a complete list simply no longer held the UID. */
      readonly final: boolean;
    };

/** Where the changes of one kind go, in the API server's order. Must not throw and must not block. */
export interface Sink<T extends ObjectIdentity> {
  /**
   * @param changes differences in order; a delete and recreate under one name arrives as Deleted, then Added
   * @param cause `List` for the differences found by one complete quorum list, `Watch` for events
   */
  apply(changes: readonly Change<T>[], cause: "List" | "Watch"): void;
}

/** How far a reflector's view can be trusted. */
export interface Freshness {
  /** A first complete quorum list has arrived. Stays true afterwards. */
  readonly synced: boolean;
  /**
   * Local monotonic milliseconds: everything the API server had committed before this moment is in the view.
   * `-Infinity` until proven. It advances when an event or bookmark passes the revision of a quorum read ("barrier")
   * that began at that moment.
   */
  readonly caughtUpTo: number;
  /** How many complete quorum lists have been applied. */
  readonly completeLists: number;
  /** Why the view does not advance now (`Forbidden`, `ConnectionLost`, `WentBack`, ...), undefined when it does. */
  readonly problem: ViewProblem | undefined;
}

/** A reason constant in CamelCase and a sentence for a person. */
export interface ViewProblem {
  readonly reason: string;
  readonly message: string;
}

import { HygeiaError } from "../errors.ts";

/**
 * Why a registry did not answer as it should.
 * - `Unreachable`: no connection, or it broke.
 * - `TimedOut`: no answer within the deadline; a write may or may not have happened.
 * - `NoLeader`: the server answers, but its cluster has no quorum.
 * - `TLSFailed`: the message names the cause (expired, unknown authority, another name, client certificate refused).
 * - `Unauthenticated`, `PermissionDenied`: credentials missing or wrong; known, but not allowed.
 * - `FilteredByACLs`: it answers, but leaves out what our credentials may not see.
 * - `NoSpace`: the registry accepts no writes until it is given room.
 * - `Compacted`: the history asked for is gone.
 * - `LeaseNotFound`: a lease of ours has left.
 * - `TooLarge`: an answer was longer than we accept.
 * - `RequestTooLong`: a request was longer than the registry accepts, and has done nothing.
 * - `SplitView`: the servers of one cluster hold different things.
 * - `WentBack`, `ClusterChanged`: the data is not a continuation of what we knew.
 * - `NotUnderstood`: anything else, among it servers that are no such registry.
 */
export type RegistryErrorCode =
  | "Unreachable"
  | "TimedOut"
  | "NoLeader"
  | "TLSFailed"
  | "Unauthenticated"
  | "PermissionDenied"
  | "FilteredByACLs"
  | "NoSpace"
  | "Compacted"
  | "LeaseNotFound"
  | "TooLarge"
  | "RequestTooLong"
  | "SplitView"
  | "WentBack"
  | "ClusterChanged"
  | "NotUnderstood";

/** Raised by every method of a RegistryAdapter; the message is a sentence for a person and holds no secret. */
export class RegistryError extends HygeiaError {
  override readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.code = code;
  }
}

/** Where an adapter counts what it does. Labels are bounded: operations and results are constants of the adapter. */
export interface RegistryMetrics {
  /**
   * One answer of the registry.
   * @param operation the registry's own name for the call
   * @param result `OK`, `Slow` (an answer above the breaker's limit), `Aborted` (by us) or the code of a RegistryError
   */
  call(operation: string, result: string, seconds: number): void;
  /** The whole content was read again, and why: `Start`, `Compacted`, `Compare`, `WentBack`, ... */
  listed(cause: string): void;
  /** Records that a compare had to correct, because the watch had missed them; mostly 0. */
  repaired(count: number): void;
  /** The watch ended for this reason (code of a RegistryError). */
  watchEnded(reason: string): void;
}

/** Wall time as Kubernetes writes it, for fields that a person reads. */

/** `metav1.MicroTime`: RFC 3339 in UTC with six digits. The API server refuses fewer in some fields. */
export function microTime(time: Date): string {
  return time.toISOString().replace("Z", "000Z");
}

/** `metav1.Time`: RFC 3339 in UTC, whole seconds (fractions are cut, as the API server would). */
export function secondTime(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}

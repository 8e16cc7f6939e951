/**
 * Whether a progress answer of this server waits for the events before it: from 3.4.31 and 3.5.13 on (etcd-io/etcd
 * issue 15220 and pull requests 17566, 17612, the same bounds as Kubernetes takes). Without it only a list proves that
 * the view is complete.
 */
export function ordersProgress(version: string): boolean {
  const [, majorText, minorText, patchText] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (majorText === undefined) return false;
  const [major, minor, patch] = [Number(majorText), Number(minorText), Number(patchText)];
  if (major !== 3) return major > 3;
  if (minor === 4) return patch >= 31;
  if (minor === 5) return patch >= 13;
  return minor > 5;
}

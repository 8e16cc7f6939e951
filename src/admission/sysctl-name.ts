/** Kubernetes takes `net/ipv4/name` for `net.ipv4.name`: where a slash comes first, the two signs change places. */
export function canonicalSysctl(name: string): string {
  if (!/^[^./]*\//.test(name)) return name;
  return name.replace(/[./]/g, (sign) => (sign === "/" ? "." : "/"));
}

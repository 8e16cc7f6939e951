import { canonicalIp } from "../net/address.ts";

/** What a registered host name asks for. */
export interface HostQuery {
  /** `host.subdomain.namespace`, as PodRecord.dnsNames has it; undefined when it is no such name. */
  readonly name: string | undefined;
  /** The name says by its suffix that it is one of the cluster; without, only a name we know is a pod's. */
  readonly qualified: boolean;
  /** The address that is spelt out in the name (`10-42-3-17.shop.pod`), canonical. */
  readonly ip: string | undefined;
  readonly namespace: string;
}

/**
 * Takes a host name apart as cluster DNS would.
 * @param clusterDomain for example `cluster.local`
 * @returns undefined when the name can not be a pod's
 */
export function parseHost(host: string, clusterDomain: string): HostQuery | undefined {
  let rest = host.toLowerCase().replace(/\.$/, "");
  const inDomain = rest.endsWith(`.${clusterDomain}`);
  if (inDomain) rest = rest.slice(0, -clusterDomain.length - 1);
  const kind = /\.(svc|pod)$/.exec(rest)?.[1];
  if (inDomain && kind === undefined) return undefined;
  const labels = (kind === undefined ? rest : rest.slice(0, -kind.length - 1)).split(".");
  if (labels.includes("")) return undefined;
  const ip = kind === undefined ? undefined : spelledIp(labels[0] ?? "");
  const namespace = labels.at(-1) ?? "";
  if (kind === "pod") {
    return labels.length === 2 && ip !== undefined ? { name: undefined, qualified: true, ip, namespace } : undefined;
  }
  // Two labels are a Service, one is anybody.
  if (labels.length !== 3) return undefined;
  return { name: labels.join("."), qualified: kind !== undefined, ip, namespace };
}

/** Every name that parseHost() would take for one of these: the reverse of it. */
export function hostSpellings(
  names: readonly string[],
  addresses: Iterable<string>,
  namespace: string,
  clusterDomain: string,
): string[] {
  const spellings: string[] = [];
  for (const name of names) spellings.push(name, `${name}.svc`, `${name}.svc.${clusterDomain}`);
  for (const address of addresses) {
    const name = `${address.replaceAll(/[.:]/g, "-")}.${namespace}.pod`;
    spellings.push(name, `${name}.${clusterDomain}`);
  }
  return spellings;
}

/** `10-42-3-17` and `fd00--1-2`: an address with its separators turned into dashes. */
function spelledIp(label: string): string | undefined {
  if (!/^[0-9a-f]*-[0-9a-f-]*$/.test(label)) return undefined;
  return canonicalIp(label.replaceAll("-", ".")) ?? canonicalIp(label.replaceAll("-", ":"));
}

import { isIPv4, isIPv6 } from "node:net";

/** A network in CIDR notation. */
export interface Cidr {
  /** Canonical text, host bits cleared: `10.42.0.0/16`. */
  readonly text: string;
  /** True for an IP address (in any spelling) inside the network; false for anything else. */
  contains(address: string): boolean;
}

/**
 * One spelling per address, so that addresses can be compared and indexed as text: IPv6 as RFC 5952 asks, an
 * IPv4-mapped IPv6 address as IPv4.
 * @returns undefined when the text is not exactly an IP address (zones, brackets, ports and spaces are not)
 */
export function canonicalIp(text: string): string | undefined {
  if (isIPv4(text)) return text;
  const groups = ipv6Groups(text);
  if (groups === undefined) return undefined;
  return mappedIpv4(groups)?.join(".") ?? formatIpv6(groups);
}

/**
 * @returns undefined when the text is not `address/length`. An IPv4-mapped network of /96 or longer is the IPv4 one.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const lengthText = text.slice(slash + 1);
  if (slash < 0 || !/^(?:0|[1-9]\d{0,2})$/.test(lengthText)) return undefined;
  const written = text.slice(0, slash);
  const bytes = addressBytes(written);
  if (bytes === undefined) return undefined;
  const isMapped = bytes.length === 4 && written.includes(":");
  const length = Number(lengthText) - (isMapped ? 96 : 0);
  if (length < 0 || length > bytes.length * 8) return undefined;
  const network = bytes.map((byte, i) => byte & maskOf(length, i));
  const name = network.length === 4 ? network.join(".") : formatIpv6(pairs(network));
  return {
    text: `${name}/${String(length)}`,
    contains: (address) => {
      const candidate = addressBytes(address);
      if (candidate?.length !== network.length) return false;
      return candidate.every((byte, i) => (byte & maskOf(length, i)) === network[i]);
    },
  };
}

/** The bits of byte `index` that a prefix of `length` bits fixes. */
function maskOf(length: number, index: number): number {
  const bits = Math.min(8, Math.max(0, length - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}

/** Four bytes for IPv4 and IPv4-mapped addresses, sixteen for IPv6. */
function addressBytes(text: string): readonly number[] | undefined {
  if (isIPv4(text)) return text.split(".").map(Number);
  const groups = ipv6Groups(text);
  if (groups === undefined) return undefined;
  return mappedIpv4(groups) ?? groups.flatMap((group) => [group >> 8, group & 0xff]);
}

/** The eight 16-bit groups. */
function ipv6Groups(text: string): readonly number[] | undefined {
  // A zone (`%eth0`) means something on one machine only.
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const [head = "", tail] = text.split("::");
  const front = groupsOf(head);
  if (tail === undefined) return front;
  const back = groupsOf(tail);
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((part) => {
    if (!part.includes(".")) return [Number.parseInt(part, 16)];
    return pairs(part.split(".").map(Number));
  });
}

/** Bytes to big-endian 16-bit groups. */
function pairs(bytes: readonly number[]): number[] {
  const groups: number[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return groups;
}

/** `::ffff:0:0/96`, RFC 4291 2.5.5.2. */
function mappedIpv4(groups: readonly number[]): readonly number[] | undefined {
  if (groups[5] !== 0xffff || groups.slice(0, 5).some((group) => group !== 0)) return undefined;
  return groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]);
}

/** RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups shortened. */
function formatIpv6(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(":");
  return `${hex.slice(0, bestStart).join(":")}::${hex.slice(bestStart + bestLength).join(":")}`;
}

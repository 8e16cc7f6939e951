import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";

import type { Clock } from "../../clock/clock.ts";
import { certificateInUse, type CertificateInUse, type TlsFinding } from "./certificates.ts";

/** What one full handshake with one endpoint showed. */
export interface TlsProbe {
  readonly endpoint: string;
  /** What the endpoint serves, its leaf first; empty when the handshake did not get so far. */
  readonly chain: readonly CertificateInUse[];
  /** Undefined when the handshake was fine, or when there was no connection at all (which is not a matter of TLS). */
  readonly finding: TlsFinding | undefined;
}

/** Whom to trust and what to show. PEM. */
export interface TlsTrust {
  readonly ca: string | undefined;
  readonly client: { readonly certificate: string; readonly privateKey: string } | undefined;
  /** Name to expect and to send as SNI; undefined = the endpoint's host. */
  readonly serverName: string | undefined;
}

const DEADLINE_MS = 3_000;
/**
 * In TLS 1.3 the client is done before the server has looked at its certificate; a refusal comes one round trip later.
 * A server that says nothing for so long has accepted it.
 */
const REFUSAL_WAIT_MS = 500;

/**
 * Makes one full handshake, looks, and hangs up: no session is resumed (a resumed one shows no certificates), no
 * request is sent, and a bad certificate is looked at rather than refused.
 * @throws the signal's reason when it aborts
 */
export async function probeTls(
  endpoint: string,
  trust: TlsTrust,
  clock: Clock,
  signal: AbortSignal,
): Promise<TlsProbe> {
  signal.throwIfAborted();
  const url = new URL(endpoint);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const name = trust.serverName ?? host;
  const socket = connect({
    host,
    port: Number(url.port),
    // An IP address can not be sent as SNI.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(trust.ca === undefined ? {} : { ca: trust.ca }),
    ...(trust.client === undefined ? {} : { cert: trust.client.certificate, key: trust.client.privateKey }),
    ALPNProtocols: ["h2", "http/1.1"],
    rejectUnauthorized: false,
  });
  const abort = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  const deadline = clock.setTimer(abort, DEADLINE_MS);
  try {
    return await look(socket, endpoint, name, clock);
  } finally {
    signal.removeEventListener("abort", abort);
    deadline.cancel();
    socket.destroy();
    signal.throwIfAborted();
  }
}

async function look(socket: TLSSocket, endpoint: string, name: string, clock: Clock): Promise<TlsProbe> {
  const shaken = await settled(socket, "secureConnect", undefined, clock);
  if (shaken !== undefined) return { endpoint, chain: [], finding: afterError(endpoint, shaken) };
  const chain = certificatesOf(socket, endpoint);
  // The types say Error; node sets the code.
  const refused = socket.authorizationError as unknown as string | null | undefined;
  if (!socket.authorized && refused !== undefined && refused !== null) {
    return { endpoint, chain, finding: afterVerification(endpoint, name, refused) };
  }
  const refusal = await settled(socket, "data", REFUSAL_WAIT_MS, clock);
  return { endpoint, chain, finding: refusal === undefined ? undefined : afterError(endpoint, refusal) };
}

/** @returns the error that came instead of the event, or undefined for the event, a clean end, or enough silence */
function settled(
  socket: TLSSocket,
  event: "secureConnect" | "data",
  silenceMs: number | undefined,
  clock: Clock,
): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const timer = silenceMs === undefined ? undefined : clock.setTimer(() => finish(undefined), silenceMs);
    const finish = (error: Error | undefined): void => {
      timer?.cancel();
      socket.off(event, onEvent).off("close", onEvent);
      resolve(error);
    };
    const onEvent = (): void => finish(undefined);
    // Stays: an error after the last look must not end the process.
    socket.on("error", finish).once(event, onEvent).once("close", onEvent);
  });
}

function certificatesOf(socket: TLSSocket, endpoint: string): CertificateInUse[] {
  const found: CertificateInUse[] = [];
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (certificate !== undefined) {
    const what = found.length === 0 ? `the certificate of ${endpoint}` : `an issuer of the certificate of ${endpoint}`;
    found.push(certificateInUse(certificate, what));
    const issuer: X509Certificate | undefined = certificate.issuerCertificate;
    certificate = issuer?.fingerprint256 === certificate.fingerprint256 ? undefined : issuer;
  }
  return found;
}

function afterVerification(endpoint: string, name: string, code: string): TlsFinding {
  const whose = `the certificate of ${endpoint}`;
  if (code === "CERT_HAS_EXPIRED") {
    return { reason: "Expired", message: `${whose}, or one of its issuers, has expired: renew it` };
  }
  if (code === "CERT_NOT_YET_VALID") {
    return { reason: "NotYetValid", message: `${whose}, or one of its issuers, is not valid yet: a clock is wrong` };
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const message = `${whose} is not for "${name}": correct spec.tls.serverName, or the certificate`;
    return { reason: "WrongName", message };
  }
  const message = `${whose} is not signed by an authority that is trusted (${code}): correct spec.tls.caSecretRef`;
  return { reason: "NotTrusted", message };
}

function afterError(endpoint: string, error: Error): TlsFinding | undefined {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (/ALERT.*(?:CERTIFICATE|UNKNOWN_CA)/.test(code)) {
    const message = `${endpoint} refuses our client certificate (${code}): correct spec.tls.clientCertificateSecretRef`;
    return { reason: "ClientRejected", message };
  }
  if (!code.startsWith("ERR_SSL") && code !== "EPROTO") return undefined;
  const hint = code.includes("HANDSHAKE_FAILURE") ? ": the server may ask for another client certificate" : "";
  return { reason: "HandshakeFailed", message: `the TLS handshake with ${endpoint} failed (${code})${hint}` };
}

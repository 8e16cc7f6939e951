import { connect, type TLSSocket } from "node:tls";

import type { Clock } from "../clock/clock.ts";
import { Deadline } from "../clock/deadline.ts";

/** One handshake with this very process. */
const DEADLINE_MS = 3_000;

export interface HandshakeOptions {
  /** Where the webhook listens, on this machine. */
  readonly host: string;
  readonly port: number;
  /** The name that the API server expects in the certificate. */
  readonly serverName: string;
  /** The authorities that it trusts, PEM. */
  readonly trusted: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Connects to the webhook as the API server would, with what the API server trusts.
 * @returns why it would refuse, for a person; undefined when it would not
 */
export async function handshakeProblem(options: HandshakeOptions): Promise<string | undefined> {
  const { host, port, serverName, trusted, clock, signal } = options;
  using deadline = new Deadline(clock, DEADLINE_MS, "a TLS handshake with the webhook", signal);
  let socket: TLSSocket | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      deadline.signal.addEventListener("abort", () => reject(deadline.signal.reason as Error), { once: true });
      socket = connect({ host, port, servername: serverName, ca: trusted }, resolve);
      socket.on("error", reject);
    });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : "unknown error";
  } finally {
    socket?.destroy();
  }
}

import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

import { tryLock, unlock } from "./lock.ts";

/**
 * Below the ephemeral ranges of Linux (32768 up) and macOS (49152 up), so that no outgoing connection takes a port
 * while its server is down for a restart.
 */
const FIRST_PORT = 20_000;
const PORT_COUNT = 10_000;

const lockDirectory = join(tmpdir(), `hygeia-ports-${userInfo().username}`);

/**
 * Reserves `count` ports on 127.0.0.1 that nobody listens on. A reservation is a lock file, seen by every process of
 * this user, and lasts until {@link releasePorts} or the end of this process: a server may be stopped and started
 * again on its port.
 *
 * @param offsets further ports that must be free for each one returned, as distances from it (Nacos derives its gRPC
 * ports from the HTTP one)
 * @throws Error when no port is free
 */
export async function reservePorts(count: number, offsets: readonly number[] = []): Promise<number[]> {
  const ports: number[] = [];
  const start = Math.floor(Math.random() * PORT_COUNT);
  for (let i = 0; i < PORT_COUNT && ports.length < count; i++) {
    const port = FIRST_PORT + ((start + i) % PORT_COUNT);
    if (await reserveGroup([port, ...offsets.map((offset) => port + offset)])) ports.push(port);
  }
  if (ports.length < count)
    throw new Error(`no ${count} free ports between ${FIRST_PORT} and ${FIRST_PORT + PORT_COUNT}`);
  return ports;
}

/** Gives reserved ports back. */
export function releasePorts(ports: readonly number[]): void {
  for (const port of ports) unlock(lockFile(port));
}

function lockFile(port: number): string {
  return join(lockDirectory, String(port));
}

async function reserveGroup(ports: readonly number[]): Promise<boolean> {
  const taken: number[] = [];
  for (const port of ports) {
    if (!tryLock(lockFile(port))) break;
    taken.push(port);
    if (!(await canListen(port))) break;
    if (taken.length === ports.length) return true;
  }
  releasePorts(taken);
  return false;
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

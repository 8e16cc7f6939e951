import { join } from "node:path";

import { request } from "undici";

import { findProgram } from "./components.ts";
import { releasePorts, reservePorts } from "./ports.ts";
import { type ManagedProcess, startProcess } from "./process.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./supervisor.ts";

export interface EtcdOptions {
  /** How many servers form the cluster; default 1. */
  readonly members?: 1 | 3;
  /** Further flags of every member. */
  readonly flags?: readonly string[];
}

/** A running etcd cluster of 1 or 3 members. */
export interface EtcdServer {
  /** Client URLs, one a member, in the order of {@link members}. */
  readonly endpoints: string[];
  readonly members: ManagedProcess[];
  /** Path of the etcdctl program. */
  readonly etcdctl: string;
  /** Ends the members and removes their data. */
  stop(): Promise<void>;
}

/** Starts etcd on free ports of 127.0.0.1. It does not fsync: nothing survives a crash of the machine. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const [etcd, etcdctl] = await Promise.all([findProgram("etcd"), findProgram("etcdctl")]);
  const directory = makeTemporaryDirectory("etcd");
  const count = options.members ?? 1;
  const ports = await reservePorts(3 * count);
  const members = Array.from({ length: count }, (_, i) => ({
    name: `m${i}`,
    client: `http://127.0.0.1:${ports[3 * i] ?? 0}`,
    peer: `http://127.0.0.1:${ports[3 * i + 1] ?? 0}`,
    metrics: `http://127.0.0.1:${ports[3 * i + 2] ?? 0}`,
  }));
  const processes = await Promise.all(
    members.map((member) =>
      startProcess({
        name: `etcd ${member.name}`,
        command: etcd,
        args: [
          `--name=${member.name}`,
          `--data-dir=${join(directory, member.name)}`,
          `--listen-client-urls=${member.client}`,
          `--advertise-client-urls=${member.client}`,
          `--listen-peer-urls=${member.peer}`,
          `--initial-advertise-peer-urls=${member.peer}`,
          `--initial-cluster=${members.map(({ name, peer }) => `${name}=${peer}`).join(",")}`,
          `--listen-metrics-urls=${member.metrics}`,
          "--unsafe-no-fsync",
          "--log-level=warn",
          ...(options.flags ?? []),
        ],
        logFile: join(directory, `${member.name}.log`),
        ready: async () => {
          const response = await request(`${member.metrics}/health`);
          await response.body.dump();
          return response.statusCode === 200;
        },
      }),
    ),
  );
  return {
    endpoints: members.map(({ client }) => client),
    members: processes,
    etcdctl,
    stop: async () => {
      await Promise.all(processes.map((process) => process.stop()));
      releasePorts(ports);
      removeTemporaryDirectory(directory);
    },
  };
}

import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { request } from "undici";

import type { Log } from "./build.ts";
import { type Authority, createAuthority } from "./certificates.ts";
import type { ManagedProcess } from "./process.ts";
import { findPrograms } from "./programs.ts";
import { inScope, type Scope } from "./scope.ts";

const execute = promisify(execFile);

export interface EtcdOptions {
  /** Stands in messages; default `etcd`. */
  readonly name?: string;
  /** How many servers form the cluster; default 1. */
  readonly members?: 1 | 3;
  /** Clients connect with TLS. */
  readonly tls?: EtcdTlsOptions;
  /** Clients name a user and give a password. */
  readonly auth?: EtcdAuthOptions;
  /** Further flags of every member. */
  readonly flags?: readonly string[];
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the server is stopped with too. */
  readonly scope?: Scope;
}

export interface EtcdTlsOptions {
  /** Whether a client must show a certificate of the same authority; default false. */
  readonly clientAuth?: boolean;
  /** Who issues the certificates; default a new authority. */
  readonly authority?: Authority;
  /** What the server's certificate stands for; default 127.0.0.1 and localhost. */
  readonly hosts?: readonly string[];
  /** End of the server's certificate; default in a day. */
  readonly notAfter?: Date;
}

export interface EtcdAuthOptions {
  readonly rootPassword: string;
  /** Users beside root. */
  readonly users?: readonly EtcdUser[];
}

export interface EtcdUser {
  readonly name: string;
  readonly password: string;
  /** Key prefixes that the user may read and write. */
  readonly prefixes: readonly string[];
}

/** TLS files of an etcd server, PEM. The server reads its own two again at every handshake. */
export interface EtcdTlsFiles {
  readonly authority: Authority;
  readonly caFile: string;
  readonly serverCertificateFile: string;
  readonly serverKeyFile: string;
  /** A client's certificate, common name `root`. */
  readonly clientCertificateFile: string;
  readonly clientKeyFile: string;
}

/** A running etcd cluster of 1 or 3 members. */
export interface EtcdServer {
  /** Client URLs, one a member, in the order of {@link members}. */
  readonly endpoints: string[];
  /** To start several stopped members again, start them at the same time: none is ready before a majority runs. */
  readonly members: ManagedProcess[];
  /** Path of the etcdctl program. */
  readonly etcdctl: string;
  /** With the option `tls` only. */
  readonly tls: EtcdTlsFiles | undefined;
  /**
   * Runs etcdctl against all members, as root unless `--user=` names another, and returns what it prints.
   * @throws Error with what etcdctl says
   */
  ctl(...args: readonly string[]): Promise<string>;
  /** The cluster's present revision. */
  revision(): Promise<number>;
  /** Compacts the history up to the present revision, which is returned. */
  compact(): Promise<number>;
  /** Writes a snapshot of the first member to a file. */
  saveSnapshot(file: string): Promise<void>;
  /** Stops the cluster and starts it again with the data of a snapshot: the revision goes back to the snapshot's. */
  restoreSnapshot(file: string): Promise<void>;
  /** Stops the cluster and starts it again empty, with the same users. */
  wipe(): Promise<void>;
  /** Ends the members and removes their data. */
  stop(): Promise<void>;
}

/** One member's name and places. */
interface Member {
  readonly name: string;
  readonly dataDirectory: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  /** Plain HTTP in every set-up, for /health. */
  readonly metricsUrl: string;
}

/** Starts etcd on free ports of 127.0.0.1. It does not fsync: nothing survives a crash of the machine. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const { name = "etcd" } = options;
  const programs = await findPrograms(["etcd", "etcdctl"], options.log);
  return inScope(options.scope, async (scope) => {
    const directory = scope.directory(name);
    const tls = options.tls === undefined ? undefined : await writeTlsFiles(directory, options.tls);
    const layout = await planMembers(scope, directory, options.members ?? 1, tls === undefined ? "http" : "https");
    const initialCluster = layout.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    const flags = [
      `--initial-cluster=${initialCluster}`,
      "--unsafe-no-fsync",
      "--log-level=warn",
      ...(tls === undefined ? [] : tlsFlags(tls, options.tls?.clientAuth === true)),
      ...(options.flags ?? []),
    ];
    const members = await Promise.all(
      layout.map((member) =>
        scope.start({
          name: layout.length === 1 ? name : `${name}-${member.name}`,
          command: programs.etcd,
          args: [
            `--name=${member.name}`,
            `--data-dir=${member.dataDirectory}`,
            `--listen-client-urls=${member.clientUrl}`,
            `--advertise-client-urls=${member.clientUrl}`,
            `--listen-peer-urls=${member.peerUrl}`,
            `--initial-advertise-peer-urls=${member.peerUrl}`,
            `--listen-metrics-urls=${member.metricsUrl}`,
            ...flags,
          ],
          logFile: join(directory, `${member.name}.log`),
          ready: () => isHealthy(member.metricsUrl),
          // What it has written outlives SIGKILL, and on SIGTERM it looks for a leader to succeed it.
          stopGrace: 0,
        }),
      ),
    );
    const cluster = new EtcdCluster({ programs, scope, layout, initialCluster, members, tls, options });
    if (options.auth !== undefined) await cluster.enableAuth(options.auth);
    return cluster;
  });
}

interface ClusterParts {
  readonly programs: { readonly etcdctl: string };
  readonly scope: Scope;
  readonly layout: readonly Member[];
  readonly initialCluster: string;
  readonly members: ManagedProcess[];
  readonly tls: EtcdTlsFiles | undefined;
  readonly options: EtcdOptions;
}

class EtcdCluster implements EtcdServer {
  readonly #parts: ClusterParts;
  /** `root:<password>` once authentication is on. */
  #root: string | undefined;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
  }

  get endpoints(): string[] {
    return this.#parts.layout.map(({ clientUrl }) => clientUrl);
  }

  get members(): ManagedProcess[] {
    return this.#parts.members;
  }

  get etcdctl(): string {
    return this.#parts.programs.etcdctl;
  }

  get tls(): EtcdTlsFiles | undefined {
    return this.#parts.tls;
  }

  async ctl(...args: readonly string[]): Promise<string> {
    return this.#ctlAt(this.endpoints, args);
  }

  async #ctlAt(endpoints: readonly string[], args: readonly string[]): Promise<string> {
    const flags = [`--endpoints=${endpoints.join(",")}`];
    const { tls } = this.#parts;
    if (tls !== undefined) {
      flags.push(`--cacert=${tls.caFile}`, `--cert=${tls.clientCertificateFile}`, `--key=${tls.clientKeyFile}`);
    }
    const asRoot = this.#root !== undefined && !args.some((argument) => argument.startsWith("--user="));
    // In the environment, not in the arguments, which every user of the machine can read.
    const env = asRoot ? { ...process.env, ETCDCTL_USER: this.#root } : process.env;
    const { stdout } = await execute(this.etcdctl, [...flags, ...args], { env, maxBuffer: 1 << 28 });
    return stdout;
  }

  async enableAuth({ rootPassword, users = [] }: EtcdAuthOptions): Promise<void> {
    this.#root = undefined;
    await this.ctl("user", "add", `root:${rootPassword}`);
    await this.ctl("user", "grant-role", "root", "root");
    for (const { name, password, prefixes } of users) {
      await this.ctl("user", "add", `${name}:${password}`);
      await this.ctl("role", "add", name);
      for (const prefix of prefixes) await this.ctl("role", "grant-permission", "--prefix", name, "readwrite", prefix);
      await this.ctl("user", "grant-role", name, name);
    }
    await this.ctl("auth", "enable");
    this.#root = `root:${rootPassword}`;
  }

  async revision(): Promise<number> {
    const text = await this.#ctlAt(this.endpoints.slice(0, 1), ["endpoint", "status", "--write-out=json"]);
    return (JSON.parse(text) as EndpointStatus[])[0]?.Status.header.revision ?? 0;
  }

  async compact(): Promise<number> {
    const present = await this.revision();
    await this.ctl("compact", String(present));
    return present;
  }

  async saveSnapshot(file: string): Promise<void> {
    await this.#ctlAt(this.endpoints.slice(0, 1), ["snapshot", "save", file]);
  }

  async restoreSnapshot(file: string): Promise<void> {
    const { etcdutl } = await findPrograms(["etcdutl"], this.#parts.options.log);
    await this.#restartWith(async () => {
      for (const { name, dataDirectory, peerUrl } of this.#parts.layout) {
        await execute(etcdutl, [
          "snapshot",
          "restore",
          file,
          `--name=${name}`,
          `--data-dir=${dataDirectory}`,
          `--initial-cluster=${this.#parts.initialCluster}`,
          `--initial-advertise-peer-urls=${peerUrl}`,
        ]);
      }
    });
  }

  async wipe(): Promise<void> {
    await this.#restartWith(() => Promise.resolve());
    if (this.#parts.options.auth !== undefined) await this.enableAuth(this.#parts.options.auth);
  }

  async stop(): Promise<void> {
    await this.#parts.scope.stop();
  }

  async #restartWith(prepareData: () => Promise<void>): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    for (const { dataDirectory } of this.#parts.layout) rmSync(dataDirectory, { recursive: true, force: true });
    await prepareData();
    await Promise.all(this.members.map((member) => member.start()));
  }
}

async function planMembers(scope: Scope, directory: string, count: number, scheme: string): Promise<Member[]> {
  const ports = await scope.ports(3 * count);
  const url = (protocol: string, index: number): string => `${protocol}://127.0.0.1:${ports[index] ?? 0}`;
  return Array.from({ length: count }, (_, i) => ({
    name: `m${i}`,
    dataDirectory: join(directory, `m${i}`),
    clientUrl: url(scheme, 3 * i),
    peerUrl: url("http", 3 * i + 1),
    metricsUrl: url("http", 3 * i + 2),
  }));
}

/** The part we read of `etcdctl endpoint status --write-out=json`. */
interface EndpointStatus {
  readonly Status: { readonly header: { readonly revision: number } };
}

async function isHealthy(metricsUrl: string): Promise<boolean> {
  const response = await request(`${metricsUrl}/health`);
  await response.body.dump();
  return response.statusCode === 200;
}

function tlsFlags(files: EtcdTlsFiles, clientAuth: boolean): string[] {
  return [
    `--cert-file=${files.serverCertificateFile}`,
    `--key-file=${files.serverKeyFile}`,
    ...(clientAuth ? ["--client-cert-auth", `--trusted-ca-file=${files.caFile}`] : []),
  ];
}

async function writeTlsFiles(directory: string, options: EtcdTlsOptions): Promise<EtcdTlsFiles> {
  const authority = options.authority ?? (await createAuthority("etcd test authority"));
  const [server, client] = await Promise.all([
    authority.issue({
      commonName: "etcd",
      hosts: options.hosts ?? ["127.0.0.1", "localhost"],
      ...(options.notAfter === undefined ? {} : { notAfter: options.notAfter }),
    }),
    authority.issue({ commonName: "root" }),
  ]);
  const write = (name: string, content: string): string => {
    const file = join(directory, name);
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };
  return {
    authority,
    caFile: write("ca.crt", authority.certificate),
    serverCertificateFile: write("server.crt", server.certificate),
    serverKeyFile: write("server.key", server.key),
    clientCertificateFile: write("client.crt", client.certificate),
    clientKeyFile: write("client.key", client.key),
  };
}

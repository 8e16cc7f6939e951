import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { stringify } from "yaml";

import { type KubeAccess, KubeClient, type KubeObject } from "../../support/kube-client.ts";
import type { Log } from "../build.ts";
import { programOnPath } from "../components.ts";
import { findPrograms } from "../programs.ts";
import { inScope, type Scope } from "../scope.ts";
import { cgroupName, makeCgroups, removeCgroups } from "./cgroups.ts";
import { type DnsServer, startDnsServer } from "./dns.ts";
import { type ImageSpec, librariesOf, writeImage } from "./images.ts";
import { processesIn, type Sandbox, startSandbox } from "./sandbox.ts";
import { pluginDirectory, whyNoRealNode } from "./requirements.ts";
import {
  containerdSettings,
  DNS_ADDRESS,
  kubeletSettings,
  networkSettings,
  NODE_ADDRESS,
  type NodeSettings,
  PAUSE_IMAGE,
  socketOf,
} from "./settings.ts";

/** Image of the program in components/probe; it holds getent and its glibc too. Pods want `imagePullPolicy: Never`. */
export const PROBE_IMAGE = "localhost/probe:1";

/** Programs that a real node is made of. */
export const NODE_PROGRAMS = ["kubelet", "containerd", "containerd-shim-runc-v2", "ctr", "probe"] as const;

export interface RealNodeOptions {
  /** Search domains in the node's own resolv.conf; default none. */
  readonly searches?: readonly string[];
  /** Further files of {@link PROBE_IMAGE}: path in the image -> file of this machine. */
  readonly files?: Readonly<Record<string, string>>;
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the node is stopped with too. */
  readonly scope?: Scope;
}

/** What a command said. */
export interface CommandResult {
  /** Exit code. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A node with a real kubelet and containerd; its pods are real. */
export interface RealNode {
  readonly name: string;
  /** The cluster's DNS server, as the kubelet tells its pods. */
  readonly dns: DnsServer;
  /** Where the node keeps everything that it writes. */
  readonly directory: string;
  /** Control group that the pods' groups are in. */
  readonly cgroup: string;
  /**
   * Runs a command in a container.
   * @param containerId as a pod's status has it
   * @throws Error when it takes longer than a minute
   */
  exec(containerId: string, ...command: readonly string[]): Promise<CommandResult>;
  /** Ends the node, its pods and all that they left on the machine. */
  stop(): Promise<void>;
}

/**
 * Starts a node of the control plane, in namespaces of its own: no packet of its pods leaves it, its mounts and links
 * are not the machine's, and all of it ends with this process.
 * @throws Error in one line where the machine cannot, see {@link whyNoRealNode}
 */
export async function startRealNode(
  controlPlane: KubeAccess & { readonly kubeconfig: string },
  options: RealNodeOptions = {},
): Promise<RealNode> {
  const obstacle = whyNoRealNode();
  if (obstacle !== undefined) throw new Error(obstacle);
  const programs = await findPrograms(NODE_PROGRAMS, options.log);
  // Of nodes whose tests were killed.
  removeCgroups();

  return inScope(options.scope, async (scope) => {
    const directory = scope.directory("node");
    const name = "real-0";
    const cgroup = cgroupName(basename(directory));
    writeSettings({ directory, pluginDirectory: pluginDirectory() ?? "" }, options.searches ?? []);
    const groups = Object.entries(makeCgroups(cgroup)).map(([group, place]) => `${group} ${place}\n`);
    writeFileSync(join(directory, "cgroups"), groups.join(""));
    const sandbox = await startSandbox(scope, directory, [NODE_ADDRESS, DNS_ADDRESS]);
    endAfter(scope, sandbox);

    const relayed = joinLoopback(scope, sandbox, controlPlane.url);
    const dns = startDnsServer(scope, directory, sandbox.network);
    const ctr = (...args: readonly string[]): Promise<CommandResult> =>
      run(
        "nsenter",
        sandbox.entering([programs.ctr, `--address=${socketOf(directory)}`, "--namespace=k8s.io", ...args]),
      );
    const shimDirectory = dirname(programs["containerd-shim-runc-v2"]);
    await scope.start({
      name: "containerd",
      command: "nsenter",
      args: sandbox.entering([programs.containerd, `--config=${join(directory, "containerd.toml")}`]),
      env: { PATH: [shimDirectory, process.env["PATH"] ?? ""].join(delimiter) },
      logFile: join(directory, "containerd.log"),
      ready: async () => existsSync(socketOf(directory)) && (await ctr("version")).code === 0,
      stopGrace: 0,
    });
    for (const image of images(programs.probe, options.files ?? {}))
      await importImage(scope.directory("image"), image, ctr);
    await Promise.all([relayed, dns]);

    const client = new KubeClient(controlPlane, 2);
    scope.onStop(() => client.close());
    await scope.start({
      name: "kubelet",
      command: "nsenter",
      args: sandbox.entering([
        programs.kubelet,
        `--config=${join(directory, "kubelet.yaml")}`,
        `--kubeconfig=${controlPlane.kubeconfig}`,
        `--hostname-override=${name}`,
        `--node-ip=${NODE_ADDRESS}`,
        `--root-dir=${join(directory, "kubelet")}`,
        `--cert-dir=${join(directory, "kubelet", "pki")}`,
      ]),
      logFile: join(directory, "kubelet.log"),
      ready: async () => isReady(await client.find<NodeObject>(`/api/v1/nodes/${name}`)),
      stopGrace: 0,
    });

    let execs = 0;
    return {
      name,
      dns: await dns,
      directory,
      cgroup,
      exec: (containerId, ...command) => {
        const id = containerId.replace(/^containerd:\/\//, "");
        return ctr("tasks", "exec", `--exec-id=test-${++execs}`, id, ...command);
      },
      stop: () => scope.stop(),
    };
  });
}

function writeSettings(settings: NodeSettings, searches: readonly string[]): void {
  const file = (...segments: readonly string[]): string => join(settings.directory, ...segments);
  mkdirSync(file("cni"));
  const searchLine = searches.length > 0 ? `search ${searches.join(" ")}\n` : "";
  writeFileSync(file("resolv.conf"), `nameserver ${DNS_ADDRESS}\n${searchLine}`);
  writeFileSync(file("containerd.toml"), containerdSettings(settings));
  writeFileSync(file("cni", "10-pods.conflist"), JSON.stringify(networkSettings(settings)));
  writeFileSync(file("kubelet.yaml"), stringify(kubeletSettings(settings)));
}

/** The processes end with the sandbox, but a moment later than it; only then can their control groups be removed. */
function endAfter(scope: Scope, { processNamespace }: Sandbox): void {
  scope.onStop(async () => {
    const deadline = performance.now() + 30_000;
    while (processesIn(processNamespace).length > 0 || removeCgroups().length > 0) {
      if (performance.now() > deadline) break;
      await delay(20);
    }
  });
}

/** Lets the kubelet reach, at the same address, the API server on the machine's loopback, which is not the node's. */
async function joinLoopback(scope: Scope, sandbox: Sandbox, url: string): Promise<void> {
  const { host } = new URL(url);
  const socket = join(sandbox.directory, "apiserver.sock");
  const relay = (name: string, command: string, args: readonly string[]) => {
    const logFile = join(sandbox.directory, `${name}.log`);
    const ready = (): Promise<boolean> => Promise.resolve(readFileSync(logFile, "utf8").includes("listening"));
    return scope.start({ name, command, args, logFile, ready, stopGrace: 0 });
  };
  const program = fileURLToPath(new URL("relay.ts", import.meta.url));
  await Promise.all([
    relay("relay-outside", process.execPath, [program, socket, host]),
    relay("relay-inside", "nsenter", [`--net=${sandbox.network}`, "--", process.execPath, program, host, socket]),
  ]);
}

function images(probe: string, files: Readonly<Record<string, string>>): ImageSpec[] {
  const getent = programOnPath("getent") ?? "";
  return [
    { name: PAUSE_IMAGE, files: { "/probe": probe }, entrypoint: ["/probe", "wait"] },
    {
      name: PROBE_IMAGE,
      files: { "/probe": probe, "/usr/bin/getent": getent, ...librariesOf(getent), ...files },
      // As in the images of the distributions.
      texts: { "/etc/nsswitch.conf": "hosts: files dns\n" },
      entrypoint: ["/probe"],
    },
  ];
}

async function importImage(
  directory: string,
  image: ImageSpec,
  ctr: (...args: readonly string[]) => Promise<CommandResult>,
): Promise<void> {
  const { code, stdout, stderr } = await ctr("images", "import", writeImage(directory, image));
  if (code !== 0) throw new Error(`cannot import ${image.name}: ${stdout}${stderr}`);
}

const execute = promisify(execFile);

/** A command that ends with an exit code of its own has not failed to run. */
async function run(command: string, args: readonly string[]): Promise<CommandResult> {
  try {
    return { code: 0, ...(await execute(command, args, { timeout: 60_000, killSignal: "SIGKILL" })) };
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as Partial<CommandResult>;
    if (typeof code === "number") return { code, stdout, stderr };
    throw error;
  }
}

interface NodeObject extends KubeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function isReady(node: NodeObject | undefined): boolean {
  return node?.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

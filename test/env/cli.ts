/** `npm run env`: real servers in the background, for people and scripts. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { type FlagText, helpFlag, toldOfUsage, UsageError, usageOf } from "../support/command-line.ts";
import { loadBackground, running, saveBackground, stopBackground } from "./background.ts";
import { findKubectl, findNacos, findPrograms } from "./programs.ts";
import { Scope, startConsul, startControlPlane, startEtcd, startNacos } from "./index.ts";

const REGISTRIES = ["consul", "etcd", "nacos"] as const;
type RegistryName = (typeof REGISTRIES)[number];

const flags = {
  registries: { type: "string", default: "etcd", value: "NAME[,NAME...]", help: `some of ${REGISTRIES.join(",")}` },
  nodes: { type: "string", default: "0", value: "N", help: "simulated nodes that run the pods scheduled on them" },
  out: { type: "string", value: "FILE", help: "write there what is up; default standard output" },
  help: helpFlag,
} as const satisfies Record<string, FlagText>;

const USAGE = usageOf(
  [
    "npm run env -- up [flags]",
    "    starts a Kubernetes control plane and the registries, and returns when they serve; says in JSON the path of a",
    "    kubeconfig and a URL for each registry",
    "npm run env -- down",
    "    stops them and removes their data",
  ],
  flags,
);

/** One set of servers for each working copy: npm runs its scripts in the project's own directory. */
const STATE_FILE = resolve(".env/background.json");

type Command = { readonly command: "down" | "help" } | ReturnType<typeof parseUp>;

function parse(args: readonly string[]): Command {
  const [command, ...rest] = args;
  if (args.includes("--help")) return { command: "help" };
  if (command === "up") return parseUp(rest);
  if (command === "down" && rest.length === 0) return { command };
  throw new UsageError(command === undefined ? "say up or down" : `unknown command: ${args.join(" ")}`);
}

function parseUp(args: string[]) {
  const { values } = parseArgs({ args, options: flags });
  const registries = values.registries.split(",").filter((name) => name !== "");
  const unknown = registries.filter((name) => !REGISTRIES.includes(name as RegistryName));
  if (unknown.length > 0) throw new UsageError(`unknown registries: ${unknown.join(", ")}`);
  if (!/^\d+$/.test(values.nodes)) throw new UsageError(`--nodes wants a number, not ${values.nodes}`);
  return {
    command: "up" as const,
    registries: registries as RegistryName[],
    nodes: Number(values.nodes),
    out: values.out === undefined ? undefined : resolve(values.out),
  };
}

const startedAt = performance.now();

function say(line: string): void {
  process.stderr.write(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s] ${line}\n`);
}

async function up({ registries, nodes, out }: ReturnType<typeof parseUp>): Promise<void> {
  const before = loadBackground(STATE_FILE);
  if (before !== undefined && running(before).length > 0) {
    const where = before.out === undefined ? "" : `, described in ${before.out}`;
    throw new Error(`servers of this working copy are up already${where}: stop them with \`npm run env -- down\``);
  }
  // What a crash of the machine, or somebody's kill, has left behind.
  if (before !== undefined) await stopBackground(STATE_FILE, before);

  // Before anything is started: a server that starts while a compiler keeps the machine busy may give up.
  await Promise.all([
    findPrograms(["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "etcdctl"], say),
    findKubectl(say),
    nodes > 0 && findPrograms(["kwok"], say),
    registries.includes("consul") && findPrograms(["consul"], say),
    registries.includes("nacos") && findNacos(say),
  ]);

  const scope = new Scope();
  const common = { scope, log: say };
  const start: Record<RegistryName, () => Promise<string>> = {
    consul: async () => (await startConsul(common)).url,
    etcd: async () => (await startEtcd(common)).endpoints.join(","),
    nacos: async () => (await startNacos(common)).url,
  };
  const announced = async <Result>(name: string, started: Promise<Result>): Promise<Result> => {
    const result = await started;
    say(`${name} serves`);
    return result;
  };
  try {
    const kwok = nodes > 0;
    const plane = startControlPlane({ ...common, controllerManager: true, scheduler: true, kwok, nodes });
    const [controlPlane, ...urls] = await Promise.all([
      announced("the control plane", plane),
      ...registries.map(async (name) => [name, await announced(name, start[name]())] as const),
    ]);
    const resources = scope.release();
    const description = {
      kubeconfig: controlPlane.kubeconfig,
      kubectl: controlPlane.kubectl,
      ...Object.fromEntries(urls),
      pids: Object.fromEntries(resources.processes.map(({ name, pid }) => [name, pid])),
    };
    saveBackground(STATE_FILE, resources, out);
    const text = `${JSON.stringify(description, undefined, 2)}\n`;
    if (out === undefined) process.stdout.write(text);
    else writeFileSync(out, text);
    say(`all serve: export KUBECONFIG=${controlPlane.kubeconfig}`);
  } catch (error) {
    await scope.stop();
    throw error;
  }
}

async function down(): Promise<void> {
  const background = loadBackground(STATE_FILE);
  if (background === undefined) {
    say("nothing is up");
    return;
  }
  await stopBackground(STATE_FILE, background);
  say(`stopped ${background.processes.map(({ name }) => name).join(", ")}`);
}

try {
  const wanted = parse(process.argv.slice(2));
  if (wanted.command === "help") process.stdout.write(USAGE);
  else await (wanted.command === "up" ? up(wanted) : down());
} catch (error) {
  if (!toldOfUsage(error)) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
// Idle connections, and what is still being built after a failure, must not hold the command.
process.exit();

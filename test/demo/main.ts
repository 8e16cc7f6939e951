import { parseArgs } from "node:util";

import { type FlagText, helpFlag, toldOfUsage, UsageError, usageOf } from "../support/command-line.ts";
import { Scope, startControlPlane, startEtcd } from "../env/index.ts";
import { installOperator } from "../support/operator-install.ts";
import { startOperator } from "../support/operator.ts";
import { consulDemo } from "./consul-demo.ts";
import { nacosDemo } from "./nacos-demo.ts";
import { PodStory } from "./pod-story.ts";
import { BrokenPromise, Screen } from "./screen.ts";
import { manifests, Story } from "./story.ts";

/** The main jobs on a fresh machine: new pods obey, zombies leave a real registry; seen with kubectl. Ends by itself. */
async function etcdDemo(screen: Screen, wait: (kubeconfig: string) => Promise<void>): Promise<void> {
  const scope = new Scope();
  const log = (line: string): void => screen.say(line);
  try {
    screen.step("A real control plane and a real etcd as the service registry (the first build takes minutes)");
    const [controlPlane, etcd] = await Promise.all([
      startControlPlane({ controllerManager: true, log, scope }),
      startEtcd({ log, scope }),
    ]);
    const [etcdUrl = ""] = etcd.endpoints;
    screen.say(`kube-apiserver at ${controlPlane.url}, etcd at ${etcdUrl}`);

    screen.step("Install: kubectl apply -k config/default; the operator runs with exactly the rights it gives");
    await installOperator(controlPlane);
    const [webhookPort = 0] = await scope.ports(1);
    const operator = await startOperator({
      cluster: controlPlane,
      flags: { "webhook-bind-address": `127.0.0.1:${webhookPort}` },
    });
    const story = await Story.begin(screen, controlPlane, etcd);
    const pods = await PodStory.begin(screen, controlPlane, webhookPort);
    try {
      await operator.untilReady();

      screen.step("A pod as it comes without a policy, and what its lookups cost (glibc, IPv4 and IPv6)");
      await pods.createBefore();

      screen.step("Say what is wanted");
      await story.apply(manifests(etcdUrl));

      screen.step("The same pod, created under the policy");
      await pods.createAfter();
      await pods.showDrift();

      screen.step("Three services register themselves, and there is an entry of somebody else");
      const { orders, users, stock } = await story.registerServices();
      const foreigner = await story.registerForeigner();
      await story.untilLive(9);
      await operator.untilCaughtUp();
      await story.kubectl("get", "rpol,reg");

      screen.step("Instances crash: their processes are gone, their entries stay");
      await story.crash([...orders.slice(0, 2), ...users.slice(0, 2), ...stock.slice(0, 1)]);

      const [, victim] = stock;
      if (victim !== undefined) {
        screen.step("A pod is deleted by force, and its address goes to another service");
        await operator.untilCaughtUp();
        await story.reuseAddress(victim);
      }

      screen.step("What was done, and on what evidence");
      await story.showEvidence();
      await story.checkTheRest(foreigner);
      await story.untilLive(4);

      screen.step("The end");
      await story.kubectl("get", "rpol,reg,rrep");
      await wait(controlPlane.kubeconfig);
    } catch (error) {
      process.stderr.write(`\nThe last lines of the operator's log:\n${operator.tail(10)}\n`);
      throw error;
    } finally {
      await pods.end();
      await story.end();
      await operator.stop();
    }
  } finally {
    await scope.stop();
  }
}

/** `--keep`: leaves everything running until Ctrl-C. */
async function holdOpen(screen: Screen, kubeconfig: string): Promise<void> {
  screen.say("");
  screen.say(`Everything stays until Ctrl-C. export KUBECONFIG=${kubeconfig}`);
  const timer = setInterval(() => undefined, 60_000);
  await new Promise<void>((resolve) => process.once("SIGINT", resolve));
  clearInterval(timer);
}

const demos: Readonly<Record<string, typeof etcdDemo>> = {
  consul: consulDemo,
  etcd: etcdDemo,
  nacos: nacosDemo,
};
const names = Object.keys(demos).join(",");

const flags = {
  registries: { type: "string", default: "etcd", value: "NAME[,NAME...]", help: `some of ${names}, one demo for each` },
  keep: { type: "boolean", default: false, help: "leave everything running until Ctrl-C, and say where" },
  help: helpFlag,
} as const satisfies Record<string, FlagText>;

async function demo(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: flags });
  if (values.help) {
    const does = "    pods obey a policy and zombies leave a real registry, before your eyes; ends by itself";
    process.stdout.write(usageOf(["npm run demo -- [flags]", does], flags));
    return;
  }
  const plays = values.registries.split(",").map((name) => {
    const play = demos[name];
    if (play === undefined) throw new UsageError(`--registries ${name}: write some of ${names}`);
    return play;
  });
  for (const play of plays) {
    const screen = new Screen();
    await play(screen, async (kubeconfig) => {
      if (values.keep) await holdOpen(screen, kubeconfig);
    });
  }
  process.stdout.write("\nAll of it came true.\n");
}

try {
  await demo(process.argv.slice(2));
} catch (error) {
  if (!toldOfUsage(error)) {
    const message = error instanceof BrokenPromise ? `not true: ${error.message}` : String((error as Error).stack);
    process.stderr.write(`\nThe demo failed: ${message}\n`);
    process.exitCode = 1;
  }
}

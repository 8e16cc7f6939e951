import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { Scope } from "../env/index.ts";
import { startOperator } from "../support/operator.ts";
import { WebhookStage } from "../support/webhook-stage.ts";
import { probePod, until } from "./pods.ts";
import { startStageOn } from "./stage.ts";
import { KEEPALIVE, NDOTS, SEARCHES, type Way } from "./way.ts";

const execute = promisify(execFile);

const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const LABELS = { team: "shop" };
/** Of a namespace in whose pods a policy wants the sysctls, and nothing else. */
export const KEEPALIVE_ONLY = { team: "bank" };

/** The operator sets it, through its webhook, because a RegistrationPolicy says so. */
export const setByWebhook: Way = {
  name: "set by the webhook",
  start: async (options) => {
    const webhook = await WebhookStage.start({ controllerManager: true, scheduler: true });
    const scope = new Scope();
    try {
      const stage = await startStageOn(webhook.controlPlane, scope, options);
      const dns = { ndots: Number(NDOTS), searches: SEARCHES };
      await webhook.client.create(POLICIES, policy("shop", LABELS, { dns }));
      await webhook.client.create(POLICIES, policy("bank", KEEPALIVE_ONLY));
      const { kubectl, kubeconfig } = webhook.controlPlane;
      await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "-k", "config/dry-run"]);
      await webhook.configure();
      const port = await webhook.freePort();
      webhook.front.setBackends(() => [port]);
      const flags = { admission: "webhook", "webhook-bind-address": `127.0.0.1:${port}` };
      // A dry run tells what a namespace refuses.
      const operator = await startOperator({ cluster: webhook.controlPlane, flags, denials: "Expected" });
      const stop = async (): Promise<void> => {
        await operator.stop();
        await scope.stop();
        await webhook.stop();
      };
      return { ...stage, stop };
    } catch (error) {
      await scope.stop();
      await webhook.stop();
      throw error;
    }
  },
  namespace: async ({ pods }) => {
    const namespace = await pods.namespace(LABELS);
    // The sysctls come when it is known that nothing in the namespace refuses them.
    await until("pods get the sysctls", async () => {
      const { spec } = await pods.create(namespace, probePod(), { dryRun: "All" });
      return (spec.securityContext?.sysctls ?? []).length > 0;
    });
    return namespace;
  },
  prepare: (pod) => pod,
};

/** One that wants the sysctls of KEEPALIVE and more. */
function policy(name: string, labels: Readonly<Record<string, string>>, more: object = {}): object {
  const seconds = (name: keyof typeof KEEPALIVE): string => `${KEEPALIVE[name]}s`;
  return {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: {
      mode: "Enforce",
      match: { namespaceSelector: { matchLabels: labels } },
      registration: { registries: [{ name: "none" }] },
      ...more,
      keepalive: {
        time: seconds("net.ipv4.tcp_keepalive_time"),
        interval: seconds("net.ipv4.tcp_keepalive_intvl"),
        probes: Number(KEEPALIVE["net.ipv4.tcp_keepalive_probes"]),
      },
    },
  };
}

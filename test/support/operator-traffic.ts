/** Which of the operator's requests a proxy is to disturb, and ways to do so that only tests of the operator need. */
import { hold, type KubeProxy, type ProxyRequest } from "../env/proxy/index.ts";
import type { KubeClient, KubeList } from "./kube-client.ts";
import { eventually } from "./operator-wait.ts";

type Matcher = (request: ProxyRequest) => boolean;
/** What a proxy does to a request. */
export type Action = Parameters<KubeProxy["rule"]>[0]["action"];

/** Page size of the operator's lists; its barrier reads ask for one object. */
const PAGE = "500";

/** Every request about pods, the confirm reads before a write included. */
export const aboutPods: Matcher = ({ path }) => path === "/api/v1/pods";

/** Pages of the complete lists of pods. */
export const podLists: Matcher = ({ path, isWatch, query }) =>
  path === "/api/v1/pods" && !isWatch && !query.has("fieldSelector") && query.get("limit") === PAGE;

/** The first page of each complete list of pods. */
export const firstPodPages: Matcher = (request) => podLists(request) && !request.query.has("continue");

/** Pages of a complete list of pods after the first. */
export const laterPodPages: Matcher = (request) => podLists(request) && request.query.has("continue");

/** Everything that asks for pods themselves: complete lists, and the confirm reads before a write. */
export const podReads: Matcher = (request) => aboutPods(request) && !request.isWatch && !podBarriers(request);

/** Reads of the pods at an address, and of how many there are at each: the last look before a write. */
export const addressReads: Matcher = (request) =>
  aboutPods(request) &&
  (request.query.get("fieldSelector")?.startsWith("status.podIP=") === true || request.query.has("includeObject"));

/** Reads of the pods that have no address yet: the other part of the last look before a write without an exact guard. */
export const hiddenPodReads: Matcher = (request) =>
  aboutPods(request) && request.query.get("fieldSelector") === "status.phase=Pending";

export const podWatches: Matcher = (request) => aboutPods(request) && request.isWatch;

/** Reads of one pod that only ask for the present revision. */
export const podBarriers: Matcher = ({ path, isWatch, query }) =>
  path === "/api/v1/pods" && !isWatch && query.get("limit") === "1";

/** The server answers lists with fewer objects than it was asked for, as it always may. */
export function smallerPages(size: number): Action {
  return {
    onRequest: ({ incoming }) => {
      incoming.url = (incoming.url ?? "").replace(`limit=${PAGE}`, `limit=${size}`);
      return Promise.resolve("Forward");
    },
  };
}

/** Lists are empty, and of the present revision: nothing about the answer looks wrong. */
export function emptyLists(client: KubeClient): Action {
  return {
    onRequest: async ({ request, outgoing }) => {
      const { metadata } = await client.get<KubeList>(request.path, { limit: 1 });
      const body = {
        kind: "PodList",
        apiVersion: "v1",
        metadata: { resourceVersion: metadata.resourceVersion },
        items: [],
      };
      outgoing.writeHead(200, { "content-type": "application/json" });
      outgoing.end(JSON.stringify(body));
      return "Done";
    },
  };
}

/** The watch of pods is cut, and no new one is let through until the gap is closed. @returns what closes it */
export async function openWatchGap(proxy: KubeProxy): Promise<() => void> {
  const held = proxy.rule({ match: podWatches, action: hold() });
  proxy.cut(podWatches);
  await eventually("the operator asks for another watch", () => held.applied > 0 && proxy.running(podWatches) > 0);
  return () => held.remove();
}

/** A watch goes on up to the first event of one of these objects; that one and all after it wait until the rule is removed. */
export function holdFrom(uids: ReadonlySet<string>): Action {
  return {
    onBody: async (part, exchange, rule) => {
      if (!exchange.request.isWatch) return part;
      const { object } = JSON.parse(part.toString("utf8")) as {
        readonly object: { readonly metadata: { uid?: string } };
      };
      if (uids.has(object.metadata.uid ?? "")) await Promise.race([rule.removed, exchange.closed]);
      return part;
    },
  };
}

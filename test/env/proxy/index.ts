/** Proxies that do to real connections what bad networks and servers do. */
export {
  answer,
  answerWatch,
  blackHole,
  cut,
  delay,
  dropEvents,
  hold,
  holdAnswer,
  silenceAfter,
  truncate,
} from "./actions.ts";
export type { ProxyRequest } from "./exchange.ts";
export { KubeProxy } from "./kube-proxy.ts";
export { Recording } from "./recording.ts";
export { TcpProxy } from "./tcp-proxy.ts";

import { SET_ANNOTATION } from "../../../src/admission/types.ts";
import {
  type AdmissionCase,
  ALL,
  GO,
  KEEPALIVE,
  NDOTS_2,
  NOTHING,
  app,
  dnsConfig,
  dnsPolicy,
  godebug,
  ndots,
  pod,
  row,
  sleep,
  sysctls,
} from "./case.ts";

const set = (text: string) => ({ annotations: { [SET_ANNOTATION]: text } });
const TIME_300 = { name: "net.ipv4.tcp_keepalive_time", value: "300" };
const INTERVAL_75 = { name: "net.ipv4.tcp_keepalive_intvl", value: "75" };
const [TIME, INTERVAL, PROBES] = KEEPALIVE.sysctls ?? [];

/** Pods that admission, or somebody who writes its annotation, has seen before. */
export const againCases = {
  "an option that we set is set anew": row({
    pod: pod(dnsConfig({ options: [ndots("3"), { name: "rotate" }] }), set("ndots=3")),
    policy: NDOTS_2,
    expected: pod(dnsConfig({ options: [ndots("2"), { name: "rotate" }] }), set("ndots=3")),
  }),
  "an option that was changed since we set it stays": row({
    pod: pod(dnsConfig({ options: [ndots("4")] }), set("ndots=3")),
    policy: NDOTS_2,
    skipped: [["dns", "SetByAuthor"]],
  }),
  "of two entries for one value the last counts": row({
    pod: pod(dnsConfig({ options: [ndots("3")] }), set("ndots=3,=,x,ndots=4")),
    policy: NDOTS_2,
    skipped: [["dns", "SetByAuthor"]],
  }),
  "a resolver that we replaced is the cluster's still": row({
    pod: pod(
      { dnsPolicy: "None", ...dnsConfig({ nameservers: ["10.96.0.10"], searches: ["a.example"] }) },
      set("dnsPolicy=None"),
    ),
    policy: dnsPolicy({ options: [ndots("2")], searches: ["b.example"], replacesSearches: true }),
    expected: pod(
      {
        dnsPolicy: "None",
        ...dnsConfig({ nameservers: ["10.96.0.10"], searches: ["a.example", "b.example"], options: [ndots("2")] }),
      },
      set("dnsPolicy=None"),
    ),
  }),
  "sysctls that we set are set anew, and missing ones are added": row({
    pod: pod(sysctls(TIME_300, INTERVAL_75), set("net.ipv4.tcp_keepalive_time=300,net.ipv4.tcp_keepalive_intvl=75")),
    policy: KEEPALIVE,
    expected: pod(
      sysctls(...[TIME, INTERVAL, PROBES].filter((sysctl) => sysctl !== undefined)),
      set("net.ipv4.tcp_keepalive_time=300,net.ipv4.tcp_keepalive_intvl=75"),
    ),
  }),
  "one sysctl that is not ours leaves out all": row({
    pod: pod(sysctls(TIME_300, INTERVAL_75), set("net.ipv4.tcp_keepalive_time=300")),
    policy: KEEPALIVE,
    skipped: [["keepalive", "SetByAuthor"]],
  }),
  "a netdns that we set is set anew where it stands": row({
    pod: pod({ containers: [app(godebug("a=1, netdns=cgo,b=2"))] }, set("netdns=cgo")),
    policy: GO,
    expected: pod({ containers: [app(godebug("a=1,netdns=go,b=2"))] }, set("netdns=cgo")),
  }),
  "a sleep that we set is set anew": row({
    pod: pod({ containers: [app(sleep(3)), app(sleep(4), "web"), app({}, "agent")] }, set("preStop=3")),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({ containers: [app(sleep(5)), app(sleep(4), "web"), app(sleep(5), "agent")] }, set("preStop=3")),
  }),
  "a pod whose annotations are full is left alone": row({
    pod: pod({}, { annotations: { large: "x".repeat(256 * 1024 - 40) } }),
    policy: ALL,
    skipped: (["dns", "goResolver", "keepalive", "gracePeriod", "preStop"] as const).map((part) => [
      part,
      "AnnotationsFull",
    ]),
  }),
} satisfies Record<string, AdmissionCase>;

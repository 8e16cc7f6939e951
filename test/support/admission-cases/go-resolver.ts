import { type AdmissionCase, GO, app, godebug, pod, row } from "./case.ts";

export const goCases = {
  "GODEBUG is set where the container has no variables": row({
    pod: pod(),
    policy: GO,
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "GODEBUG is added after the author's variables": row({
    pod: pod({ containers: [app({ env: [{ name: "A", value: "1" }] })] }),
    policy: GO,
    expected: pod({
      containers: [
        app({
          env: [
            { name: "A", value: "1" },
            { name: "GODEBUG", value: "netdns=go" },
          ],
        }),
      ],
    }),
  }),
  "netdns is added to what GODEBUG holds": row({
    pod: pod({ containers: [app(godebug("http2client=0,madvdontneed=1"))] }),
    policy: GO,
    expected: pod({ containers: [app(godebug("http2client=0,madvdontneed=1,netdns=go"))] }),
  }),
  "an empty GODEBUG is filled": row({
    pod: pod({ containers: [app(godebug(""))] }),
    policy: GO,
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "the author's netdns stays": row({
    pod: pod({ containers: [app(godebug("http2client=0,netdns=cgo+2"))] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "of two netdns in GODEBUG the last counts": row({
    pod: pod({ containers: [app(godebug("netdns=cgo,netdns=go"))] }),
    policy: GO,
  }),
  "of two variables GODEBUG the last counts": row({
    pod: pod({ containers: [app({ env: [...godebug("netdns=cgo").env, ...godebug("gctrace=1").env] })] }),
    policy: GO,
    expected: pod({
      containers: [app({ env: [...godebug("netdns=cgo").env, ...godebug("gctrace=1,netdns=go").env] })],
    }),
  }),
  "a GODEBUG from elsewhere stays": row({
    pod: pod({
      containers: [
        app({ env: [{ name: "GODEBUG", valueFrom: { configMapKeyRef: { name: "settings", key: "godebug" } } }] }),
      ],
    }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "a GODEBUG made of other variables stays": row({
    pod: pod({ containers: [app(godebug("$(EXTRA)"))] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "a GODEBUG that envFrom may bring is not hidden": row({
    pod: pod({ containers: [app({ envFrom: [{ configMapRef: { name: "settings" } }] })] }),
    policy: GO,
    skipped: [["goResolver", "SetByAuthor"]],
  }),
  "init containers and sidecars are found by name, and others are left alone": row({
    pod: pod({
      initContainers: [app({}, "migrate"), app({ restartPolicy: "Always" }, "agent")],
      containers: [app(), app({}, "web")],
    }),
    policy: { ...GO, goResolver: { netdns: "cgo", containers: ["migrate", "agent", "web"] } },
    expected: pod({
      initContainers: [
        app(godebug("netdns=cgo"), "migrate"),
        app({ restartPolicy: "Always", ...godebug("netdns=cgo") }, "agent"),
      ],
      containers: [app(), app(godebug("netdns=cgo"), "web")],
    }),
  }),
  "a pod that has only some of the containers gets it there": row({
    pod: pod(),
    policy: { ...GO, goResolver: { netdns: "go", containers: ["worker", "app"] } },
    expected: pod({ containers: [app(godebug("netdns=go"))] }),
  }),
  "a pod without any of the containers is left alone": row({
    pod: pod(),
    policy: { ...GO, goResolver: { netdns: "go", containers: ["worker"] } },
    skipped: [["goResolver", "NoSuchContainer"]],
  }),
} satisfies Record<string, AdmissionCase>;

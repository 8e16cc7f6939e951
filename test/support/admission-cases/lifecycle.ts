import { type AdmissionCase, HOOK, NOTHING, SITE, app, pod, row, sleep } from "./case.ts";

export const lifecycleCases = {
  "the default grace period is raised": row({
    pod: pod(),
    policy: { ...NOTHING, gracePeriod: 60 },
    expected: pod({ terminationGracePeriodSeconds: 60 }),
  }),
  "a shorter grace period is raised": row({
    pod: pod({ terminationGracePeriodSeconds: 5 }),
    policy: { ...NOTHING, gracePeriod: 20 },
    expected: pod({ terminationGracePeriodSeconds: 20 }),
  }),
  "a longer grace period stays": row({
    pod: pod({ terminationGracePeriodSeconds: 600 }),
    policy: { ...NOTHING, gracePeriod: 60 },
  }),
  "the default grace period is not lowered": row({ pod: pod(), policy: { ...NOTHING, gracePeriod: 20 } }),
  "containers without a preStop hook sleep, those with one keep it": row({
    pod: pod({ containers: [app(), app(HOOK, "web")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({ containers: [app(sleep(5)), app(HOOK, "web")] }),
  }),
  "a postStart hook stays beside the sleep": row({
    pod: pod({ containers: [app({ lifecycle: { postStart: { exec: { command: ["/bin/warm"] } } } })] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({
      containers: [
        app({ lifecycle: { postStart: { exec: { command: ["/bin/warm"] } }, preStop: { sleep: { seconds: 5 } } } }),
      ],
    }),
  }),
  "the author's preStop hooks stay": row({
    pod: pod({ containers: [app(HOOK), app(sleep(9), "web")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    skipped: [["preStop", "SetByAuthor"]],
  }),
  "sidecars end after the others and need no sleep": row({
    pod: pod({ initContainers: [app({ restartPolicy: "Always" }, "agent")] }),
    policy: { ...NOTHING, preStopSleep: 5 },
    expected: pod({
      initContainers: [app({ restartPolicy: "Always" }, "agent")],
      containers: [app(sleep(5))],
    }),
  }),
  "a sleep as long as the grace period is left out": row({
    pod: pod(),
    policy: { ...NOTHING, preStopSleep: 30 },
    skipped: [["preStop", "GracePeriodTooShort"]],
  }),
  "a sleep may be as long as the raised grace period allows": row({
    pod: pod(),
    policy: { ...NOTHING, gracePeriod: 60, preStopSleep: 45 },
    expected: pod({ terminationGracePeriodSeconds: 60, containers: [app(sleep(45))] }),
  }),
  "the sleep action is not known before Kubernetes 1.30": row({
    pod: pod(),
    policy: { ...NOTHING, preStopSleep: 5 },
    site: { ...SITE, serverMinor: 29 },
    skipped: [["preStop", "SleepActionUnknown"]],
  }),
} satisfies Record<string, AdmissionCase>;

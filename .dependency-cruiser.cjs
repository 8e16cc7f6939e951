/** The layering of the house: data flows one way, kube -> cluster -> verdict -> plan -> eviction -> registry. */
const onlyTypes = ["type-only"];
/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-circular",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: onlyTypes } },
    },
    {
      name: "pure-rooms-have-no-io",
      comment:
        "verdict/ and plan/ import types from other rooms, and nothing that runs but themselves and net/ (pure text)",
      severity: "error",
      from: { path: "^src/(verdict|plan)/", pathNot: "\\.test\\.ts$" },
      to: { pathNot: "^src/(verdict|plan|net)/", dependencyTypesNot: onlyTypes },
    },
    {
      name: "the-linter-is-pure",
      comment: "lint/ reads a policy's spec and nothing else",
      severity: "error",
      from: { path: "^src/lint/", pathNot: "\\.test\\.ts$" },
      to: { pathNot: "^src/(lint|net|api/v1alpha1)/", dependencyTypesNot: onlyTypes },
    },
    {
      name: "what-is-rolled-out-is-pure",
      comment: "rollout/ but for its requests follows from what is handed in; its window asks a cron library",
      severity: "error",
      from: { path: "^src/rollout/", pathNot: "(\\.test|/api)\\.ts$" },
      to: {
        pathNot: "^src/(rollout/(?!api\\.ts)|cluster/selector\\.ts|api/v1alpha1/)|^node_modules/croner/",
        dependencyTypesNot: onlyTypes,
      },
    },
    {
      name: "plan-follows-verdict",
      severity: "error",
      from: { path: "^src/verdict/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/(plan|eviction|controllers|registration)/" },
    },
    {
      name: "adapters-know-no-pods",
      severity: "error",
      from: { path: "^src/registry/" },
      to: { path: "^src/(cluster|verdict|plan|eviction|admission|rollout|lint|controllers)/" },
    },
    {
      name: "kube-knows-nobody",
      severity: "error",
      from: { path: "^src/kube/" },
      to: { path: "^src/(cluster|registry|verdict|plan|eviction|admission|rollout|lint|controllers)/" },
    },
    {
      name: "cluster-knows-kube-only",
      severity: "error",
      from: { path: "^src/cluster/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/(registry|verdict|plan|eviction|admission|rollout|lint|controllers)/" },
    },
    {
      name: "what-is-done-to-a-pod-is-pure",
      comment: "how a pod is changed and judged follows from the pod, the policy and the site alone",
      severity: "error",
      from: {
        path: "^src/admission/(mutate|compliance|dns|dns-plan|keepalive|go-resolver|lifecycle|pod-security|pod-shape|ledger|outcome)\\.ts$",
      },
      to: { pathNot: "^src/(admission|net|errors\\.ts)", dependencyTypesNot: onlyTypes },
    },
    {
      name: "one-caller-of-the-writers",
      comment: "only the instance controller has entries removed, quarantined or released",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(eviction|controllers/instance)/" },
      to: { path: "^src/eviction/(evictor|releaser)\\.ts$", dependencyTypesNot: onlyTypes },
    },
    {
      name: "one-caller-of-the-roll-out",
      comment: "only the roll-out's controller has pods replaced",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(rollout|controllers/rollout)/" },
      to: { path: "^src/rollout/api\\.ts$", dependencyTypesNot: onlyTypes },
    },
    { name: "nobody-imports-main", severity: "error", from: {}, to: { path: "^src/main\\.ts$" } },
    {
      name: "product-knows-no-tests",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.test\\.ts$" },
      to: { path: "^(test|scripts)/|\\.test\\.ts$" },
    },
    {
      name: "no-dev-dependencies-in-product",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: onlyTypes },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { extensions: [".ts", ".js", ".json"] },
  },
};

/** Run by real-node.test.ts as a process of its own: starts a node and a pod, says where, and waits to be killed. */
import { probePod } from "./pods.ts";
import { startStage } from "./stage.ts";

const { node, pods } = await startStage();
await pods.run(await pods.namespace(), probePod());
console.log(JSON.stringify({ directory: node.directory, cgroup: node.cgroup }));
setInterval(() => undefined, 60_000);

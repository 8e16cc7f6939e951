/** Run by env.test.ts as a process of its own: starts servers, says which, and waits to be killed. */
import { dirname } from "node:path";

import { startEtcd } from "../env/index.ts";

const servers = await Promise.all([startEtcd({ tls: {} }), startEtcd()]);
const pids = servers.flatMap(({ members }) => members.map(({ pid }) => pid));
console.log(JSON.stringify({ pids, directory: dirname(servers[0].tls?.caFile ?? "") }));
setInterval(() => undefined, 60_000);

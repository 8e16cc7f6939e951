/**
 * Run as a process of its own: passes every connection made to one address on to another. An address is `host:port` or
 * the path of a Unix socket. Two of them join an API server on the machine's loopback and a kubelet on its node's.
 */
import { rmSync } from "node:fs";
import { createConnection, createServer, type NetConnectOpts } from "node:net";

const [from = "", to = ""] = process.argv.slice(2);

function addressOf(text: string): NetConnectOpts {
  if (text.startsWith("/")) return { path: text };
  const [host = "", port = ""] = text.split(":");
  return { host, port: Number(port) };
}

const server = createServer({ allowHalfOpen: true }, (client) => {
  const upstream = createConnection({ ...addressOf(to), allowHalfOpen: true });
  client.pipe(upstream).pipe(client);
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    socket.on("error", () => other.destroy());
    socket.on("close", () => other.destroy());
  }
});
if (from.startsWith("/")) rmSync(from, { force: true });
server.listen(addressOf(from), () => console.log("listening"));

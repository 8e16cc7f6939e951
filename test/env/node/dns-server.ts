/**
 * A DNS server that answers from a table of names and keeps what it was asked. Run as a process of its own in a node's
 * network: `dns-server.ts ADDRESS SOCKET`. It serves UDP and TCP on port 53 of ADDRESS; on the Unix socket it takes
 * `PUT /zone` with a Zone, and answers `GET /queries` with a list of Query, which `DELETE /queries` empties.
 */
import { createSocket } from "node:dgram";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { json } from "node:stream/consumers";

import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
} from "dns-packet";

import type { Query, Zone } from "./dns.ts";

/** Response codes as the low bits of the flags. */
const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const NO_SUCH_NAME = 3;

const [address = "", controlSocket = ""] = process.argv.slice(2);
let zone: Zone = {};
let queries: Query[] = [];

function respond(request: Buffer, transport: Query["transport"]): Buffer | undefined {
  let packet: Packet;
  try {
    packet = decode(request);
  } catch {
    return undefined;
  }
  const question = packet.questions?.[0];
  if (question === undefined) return undefined;
  const name = question.name.toLowerCase();
  queries.push({ name, type: question.type, transport });
  const { code, answers } = find(name, question.type);
  return encode({
    type: "response",
    id: packet.id ?? 0,
    // Without the last, Go takes an answer without addresses for a broken server's.
    flags: code | AUTHORITATIVE_ANSWER | RECURSION_DESIRED | RECURSION_AVAILABLE,
    questions: [question],
    answers,
  });
}

function find(name: string, type: string): { code: number; answers: Answer[] } {
  const records = zone[name];
  if (records === undefined) return { code: NO_SUCH_NAME, answers: [] };
  if (records === "ServerFailure") return { code: SERVER_FAILURE, answers: [] };
  const addresses = type === "A" ? records.A : type === "AAAA" ? records.AAAA : undefined;
  const answers = (addresses ?? []).map((data): Answer => ({ type: type as "A" | "AAAA", name, ttl: 0, data }));
  return { code: NO_ERROR, answers };
}

const udp = createSocket("udp4");
udp.on("message", (message, from) => {
  const response = respond(message, "udp");
  if (response !== undefined) udp.send(response, from.port, from.address);
});

/** Each message has its length before it, in two bytes. */
function serveTcp(client: Socket): void {
  let pending = Buffer.alloc(0);
  client.on("error", () => client.destroy());
  client.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0);
      const response = respond(pending.subarray(2, end), "tcp");
      pending = pending.subarray(end);
      if (response === undefined) continue;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      client.write(Buffer.concat([length, response]));
    }
  });
}

const control = createHttpServer((request, response) => {
  const route = `${request.method ?? ""} ${request.url ?? ""}`;
  if (route === "GET /queries") {
    response.end(JSON.stringify(queries));
  } else if (route === "DELETE /queries") {
    queries = [];
    response.end();
  } else if (route === "PUT /zone") {
    json(request).then(
      (body) => {
        zone = body as Zone;
        response.end();
      },
      () => response.writeHead(400).end(),
    );
  } else {
    response.writeHead(404).end();
  }
});

udp.bind(53, address, () => {
  createServer(serveTcp).listen(53, address, () => control.listen(controlSocket));
});

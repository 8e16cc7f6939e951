import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import { EtcdGate } from "./operator-etcd-gate.ts";
import { eventually } from "./operator-wait.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const RECORD = '{"key":"a","modRevision":7}';

/** Stands where etcd would; keeps what comes. */
const server = createServer((socket) => socket.on("data", (chunk) => (received += chunk.toString("latin1"))));
let received = "";
let gate: EtcdGate;
let client: Socket;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  gate = await EtcdGate.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client = connect(Number(new URL(gate.endpoint).port), "127.0.0.1");
  client.write(PREFACE);
});

afterAll(async () => {
  client.destroy();
  await gate.stop();
  server.close();
});

/** A DATA frame. */
function frame(stream: number, text: string, isLast = false): Buffer {
  const bytes = Buffer.alloc(9 + text.length);
  bytes.writeUIntBE(text.length, 0, 3);
  bytes.writeUInt8(isLast ? 1 : 0, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.write(text, 9, "latin1");
  return bytes;
}

test.for(Array.from({ length: RECORD.length - 1 }, (_, i) => i + 1))(
  "an eviction that its sender cut after %i bytes is stopped, and nothing else",
  async (cut) => {
    gate.arm();
    received = "";
    const stream = 2 * cut + 1;
    client.write(frame(stream, RECORD.slice(0, cut)));
    // Between its parts there are parts of others, which are none.
    client.write(frame(stream + 1_000, '"modRev', true));
    client.write(frame(stream, RECORD.slice(cut), true));
    client.write(frame(stream + 2_000, 'ision":and so on', true));
    await eventually("what is no eviction has passed", () => received.includes("and so on"));
    expect(gate.held).toBe(1);
    expect(received).not.toContain("}");
    gate.release();
    await eventually("the eviction has passed", () => received.includes("}"));
  },
);

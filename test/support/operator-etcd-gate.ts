import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Stands in the undo record, which goes out with every eviction and with nothing else; gRPC sends it as it is. */
const MARK = Buffer.from('"modRevision":');
/** RFC 9113, 3.4: what a client says first. */
const PREFACE_LENGTH = 24;
/** RFC 9113, 4.1: length, type, flags, stream. */
const FRAME_HEADER_LENGTH = 9;
const DATA = 0;
/** RFC 9113, 6.1: the flag of a stream's last frame. */
const END_STREAM = 1;

/** What a stopped process has sent lies in this machine's sockets: it is read as soon as this process has its turn. */
const LOOK_MS = 20;
const LOOKS = 5;

/**
 * Where evictions are stopped:
 * - `BeforeWrite`: the operator has read, judged, fenced and sent its transaction, and etcd has not received it.
 * - `AfterWrite`: etcd has received it and answers; whatever the operator sends next over that connection, the read that
 *   is to verify the eviction first of all, is stopped.
 */
export type GateStop = "BeforeWrite" | "AfterWrite";

/** Stands between the operator and etcd and can stop evictions at the last moment. Everything else passes. */
export class EtcdGate {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #stop: GateStop | undefined;
  /** So many evictions pass before one is stopped. */
  #free = 0;
  /** Chunks that came from clients so far. */
  #received = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param endpoint of the real etcd, `http://host:port` */
  static async start(endpoint: string): Promise<EtcdGate> {
    const { hostname: host, port } = new URL(endpoint);
    const gate = new EtcdGate(createServer({ noDelay: true }));
    gate.#server.on("connection", (client) => {
      const server = connect({ host, port: Number(port), noDelay: true });
      const connection = new Connection(client, server, () => gate.#stopNext());
      gate.#connections.add(connection);
      client.on("data", () => (gate.#received += 1));
      for (const socket of [client, server]) {
        socket.on("error", () => connection.end());
        socket.on("close", () => {
          connection.end();
          gate.#connections.delete(connection);
        });
      }
    });
    gate.#server.listen(0, "127.0.0.1");
    await once(gate.#server, "listening");
    return gate;
  }

  /** What the operator is to be told instead of the real endpoint. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /**
   * From now on evictions wait for {@link release}.
   * @param free so many pass before
   */
  arm(stop: GateStop = "BeforeWrite", free = 0): void {
    this.#stop = stop;
    this.#free = free;
  }

  /** Resolves when nothing comes any more: all that a process had sent before it was stopped is here. */
  async untilQuiet(): Promise<void> {
    for (let quiet = 0; quiet < LOOKS;) {
      const before = this.#received;
      await delay(LOOK_MS);
      quiet = this.#received === before ? quiet + 1 : 0;
    }
  }

  /** From now on evictions pass; those that wait go on waiting. */
  disarm(): void {
    this.#stop = undefined;
  }

  /** Evictions that wait now. */
  get held(): number {
    return this.#connections.values().reduce((sum, connection) => sum + connection.held, 0);
  }

  /** Lets them go on to etcd, in the order they came. */
  release(): void {
    this.disarm();
    for (const connection of this.#connections) connection.release();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const connection of this.#connections) connection.end();
    await closed;
  }

  /** What is to become of the eviction that comes now. */
  #stopNext(): GateStop | undefined {
    if (this.#stop === undefined || this.#free === 0) return this.#stop;
    this.#free -= 1;
    return undefined;
  }
}

/** One HTTP/2 connection; streams that carry an eviction, or come after one, are stopped one by one. */
class Connection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #stopNext: () => GateStop | undefined;
  #bytes = Buffer.alloc(0);
  #greeted = false;
  /** The newest stream when an eviction passed after which nothing more is to pass. */
  #lastStream = Infinity;
  /** The last bytes of each stream: a sender short of window cuts a message anywhere, the mark too. */
  readonly #tails = new Map<number, Buffer>();
  /** Frames of stopped streams. */
  readonly #stopped = new Map<number, Buffer[]>();

  constructor(client: Socket, server: Socket, stopNext: () => GateStop | undefined) {
    this.#client = client;
    this.#server = server;
    this.#stopNext = stopNext;
    server.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk) => this.#receive(chunk));
  }

  get held(): number {
    return this.#stopped.size;
  }

  release(): void {
    for (const frames of this.#stopped.values()) for (const frame of frames) this.#server.write(frame);
    this.#stopped.clear();
    this.#lastStream = Infinity;
  }

  end(): void {
    this.#client.destroy();
    this.#server.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#greeted) {
      if (this.#bytes.length < PREFACE_LENGTH) return;
      this.#greeted = true;
      this.#server.write(this.#take(PREFACE_LENGTH));
    }
    while (this.#bytes.length >= FRAME_HEADER_LENGTH) {
      const length = FRAME_HEADER_LENGTH + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < length) return;
      this.#pass(this.#take(length));
    }
  }

  #pass(frame: Buffer): void {
    const stream = frame.readUInt32BE(5) & 0x7fffffff;
    const isEviction = frame.readUInt8(3) === DATA && this.#completesMark(stream, frame);
    const stop = isEviction ? this.#stopNext() : undefined;
    let frames = this.#stopped.get(stream);
    const isStopped = stop === "BeforeWrite" || stream > this.#lastStream;
    if (frames === undefined && isStopped) this.#stopped.set(stream, (frames = []));
    if (stop === "AfterWrite") this.#lastStream = Math.min(this.#lastStream, stream);
    if (frames === undefined) this.#server.write(frame);
    else frames.push(frame);
  }

  #completesMark(stream: number, frame: Buffer): boolean {
    const seen = Buffer.concat([this.#tails.get(stream) ?? Buffer.alloc(0), frame.subarray(FRAME_HEADER_LENGTH)]);
    if ((frame.readUInt8(4) & END_STREAM) === 0) this.#tails.set(stream, seen.subarray(1 - MARK.length));
    else this.#tails.delete(stream);
    return seen.includes(MARK);
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}

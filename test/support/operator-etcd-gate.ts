import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Stands in the undo record, which goes out with every eviction and with nothing else; gRPC sends it as it is. */
const MARK = Buffer.from('"modRevision":');
/** RFC 9113, 3.4: what a client says first. */
const PREFACE_LENGTH = 24;
/** RFC 9113, 4.1: length, type, flags, stream. */
const FRAME_HEADER_LENGTH = 9;
const DATA = 0;

/**
 * Stands between the operator and etcd and can stop evictions at the last moment: the operator has read, judged, fenced
 * and sent its transaction, and etcd has not received it. Everything else passes.
 */
export class EtcdGate {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #armed = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param endpoint of the real etcd, `http://host:port` */
  static async start(endpoint: string): Promise<EtcdGate> {
    const { hostname: host, port } = new URL(endpoint);
    const gate = new EtcdGate(createServer({ noDelay: true }));
    gate.#server.on("connection", (client) => {
      const server = connect({ host, port: Number(port), noDelay: true });
      const connection = new Connection(client, server, () => gate.#armed);
      gate.#connections.add(connection);
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

  /** From now on evictions wait for {@link release}. */
  arm(): void {
    this.#armed = true;
  }

  /** Evictions that wait now. */
  get held(): number {
    return this.#connections.values().reduce((sum, connection) => sum + connection.held, 0);
  }

  /** Lets them go on to etcd, in the order they came. */
  release(): void {
    this.#armed = false;
    for (const connection of this.#connections) connection.release();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const connection of this.#connections) connection.end();
    await closed;
  }
}

/** One HTTP/2 connection; streams that carry an eviction are stopped one by one. */
class Connection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #armed: () => boolean;
  #bytes = Buffer.alloc(0);
  #greeted = false;
  /** Frames of stopped streams. */
  readonly #stopped = new Map<number, Buffer[]>();

  constructor(client: Socket, server: Socket, armed: () => boolean) {
    this.#client = client;
    this.#server = server;
    this.#armed = armed;
    server.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk) => this.#receive(chunk));
  }

  get held(): number {
    return this.#stopped.size;
  }

  release(): void {
    for (const frames of this.#stopped.values()) for (const frame of frames) this.#server.write(frame);
    this.#stopped.clear();
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
    const isEviction = frame.readUInt8(3) === DATA && this.#armed() && frame.includes(MARK);
    let frames = this.#stopped.get(stream);
    if (frames === undefined && isEviction) this.#stopped.set(stream, (frames = []));
    if (frames === undefined) this.#server.write(frame);
    else frames.push(frame);
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}

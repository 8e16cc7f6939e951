/** What Go frameworks write into etcd for one instance: keys and values byte for byte, and how they go on. */

/** One key as it is written. */
export interface Entry {
  readonly key: string;
  readonly value: string;
}

/** How one framework registers one instance. */
export interface Layout {
  readonly framework: string;
  /** Lease in seconds, the framework's default; undefined when it takes none. */
  readonly ttl: number | undefined;
  /** The keys of the instance; the lease's id is part of some. */
  readonly entries: (leaseId: string) => readonly Entry[];
  /** Keys with an empty value and without a lease that are written before, and for good. */
  readonly directories: readonly string[];
  /** What the living process does when its key is deleted by somebody else. */
  readonly whenDeleted: "PutAgain" | "PollAndRegister" | "Nothing";
  /** What the living process does when its lease is lost. */
  readonly whenLeaseLost: "Register" | "Nothing";
  /** What a process that ends in order does. */
  readonly whenStopped: "DeleteKey" | "RevokeLease" | "Nothing";
}

export interface InstanceOptions {
  readonly service: string;
  /** IP address, or a host name. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with brackets around an IPv6 address, as Go's net.JoinHostPort. */
function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** go-micro: `/micro/registry/<service>/<node>`, a JSON service with this one node. */
export function goMicro(
  options: InstanceOptions & { readonly nodeId?: string; readonly endpoints?: readonly string[] | null },
): Layout {
  const { service, host, port } = options;
  const id = options.nodeId ?? `${service}-${crypto.randomUUID()}`;
  const names = options.endpoints === undefined ? ["Greeter.Hello"] : options.endpoints;
  const endpoint = (name: string): object => ({
    request: { name: "Request", type: "Request", values: [] },
    response: { name: "Response", type: "Response", values: [] },
    metadata: {},
    name,
  });
  const metadata = { broker: "http", protocol: "mucp", registry: "etcd", server: "mucp", transport: "http" };
  const value = JSON.stringify({
    name: service,
    version: "latest",
    metadata: null,
    endpoints: names === null ? null : names.map(endpoint),
    nodes: [{ metadata, id, address: joinHostPort(host, port) }],
  });
  const segment = (text: string): string => text.replaceAll("/", "-");
  return {
    framework: "go-micro",
    ttl: 90,
    entries: () => [{ key: `/micro/registry/${segment(service)}/${segment(id)}`, value }],
    directories: [],
    whenDeleted: "Nothing",
    whenLeaseLost: "Register",
    whenStopped: "DeleteKey",
  };
}

/** go-zero: `<key>/<lease id>`, plain `host:port`; `service` is the application's own `Etcd.Key`. */
export function goZero(options: InstanceOptions & { readonly id?: number }): Layout {
  const { service, host, port, id } = options;
  return {
    framework: "go-zero",
    ttl: 10,
    entries: (leaseId) => [{ key: `${service}/${id ?? leaseId}`, value: joinHostPort(host, port) }],
    directories: [],
    whenDeleted: "PutAgain",
    whenLeaseLost: "Register",
    whenStopped: "RevokeLease",
  };
}

/** kratos: `<namespace>/<service>/<UUID>`, JSON with one URL for each protocol. */
export function kratos(
  options: InstanceOptions & {
    readonly namespace?: string;
    readonly id?: string;
    /** Default: HTTP on `port`, gRPC on the next. */
    readonly endpoints?: readonly string[];
  },
): Layout {
  const { namespace = "/microservices", service, host, port } = options;
  const id = options.id ?? timeUuid();
  const endpoints = options.endpoints ?? [
    `http://${joinHostPort(host, port)}`,
    `grpc://${joinHostPort(host, port + 1)}`,
  ];
  return {
    framework: "kratos",
    ttl: 15,
    entries: () => [
      {
        key: `${namespace}/${service}/${id}`,
        value: JSON.stringify({ id, name: service, version: "v1.0.0", metadata: {}, endpoints }),
      },
    ],
    directories: [],
    whenDeleted: "Nothing",
    whenLeaseLost: "Register",
    whenStopped: "DeleteKey",
  };
}

/** dubbo-go, interface level: everything in the key, the URL escaped; `service` is the interface. */
export function dubboInterface(
  options: InstanceOptions & {
    readonly application?: string;
    readonly group?: string;
    readonly category?: "providers" | "consumers" | "routers" | "configurators";
    readonly parameters?: Readonly<Record<string, string>>;
    /** Unix seconds. */
    readonly timestamp?: number;
  },
): Layout {
  const { service, host, port, group = "dubbo", category = "providers" } = options;
  const parameters: Record<string, string> = {
    anyhost: "true",
    application: options.application ?? "BDTService",
    interface: service,
    methods: "GetUser",
    "registry.role": "3",
    timestamp: String(options.timestamp ?? Math.floor(Date.now() / 1000)),
    ...options.parameters,
  };
  const query = Object.entries(parameters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${queryEscape(name)}=${queryEscape(value)}`)
    .join("&");
  const url = `dubbo://${joinHostPort(host, port)}/${service}?${query}`;
  const directory = `/${group}/${queryEscape(service)}`;
  return {
    framework: "dubbo-go interface",
    ttl: 30,
    entries: () => [{ key: `${directory}/${category}/${queryEscape(url)}`, value: "" }],
    directories: [`/${group}`, directory, `${directory}/${category}`],
    whenDeleted: "Nothing",
    whenLeaseLost: "Nothing",
    whenStopped: "Nothing",
  };
}

/** dubbo-go, application level: `/services/<application>/<host>:<port>`, a Go struct without JSON names. */
export function dubboApplication(options: InstanceOptions): Layout {
  const { service, host, port } = options;
  const address = joinHostPort(host, port);
  const instance = {
    ID: address,
    ServiceName: service,
    Host: host,
    Port: port,
    Weight: 0,
    Enable: true,
    Healthy: true,
    Metadata: {
      "dubbo.endpoints": JSON.stringify([{ port, protocol: "tri" }]),
      "dubbo.metadata.revision": "2389012930",
      "dubbo.metadata.storage-type": "local",
    },
    ServiceMetadata: null,
    Address: address,
    GroupName: "",
    Tag: "",
  };
  return {
    framework: "dubbo-go application",
    ttl: 30,
    // Go's json.Encoder ends a value with a newline.
    entries: () => [{ key: `/services/${service}/${address}`, value: `${JSON.stringify(instance)}\n` }],
    directories: [],
    whenDeleted: "Nothing",
    whenLeaseLost: "Nothing",
    whenStopped: "DeleteKey",
  };
}

/** etcd's own gRPC naming: `<target>/<name>`; `service` is the target. */
export function etcdNaming(
  options: InstanceOptions & {
    readonly name?: string;
    readonly lease?: "Leased" | "Unleased";
    readonly metadata?: Readonly<Record<string, string>>;
  },
): Layout {
  const { service, host, port } = options;
  const address = joinHostPort(host, port);
  const value = JSON.stringify({ Op: 0, Addr: address, Metadata: options.metadata ?? null });
  return {
    framework: "etcd naming",
    ttl: options.lease === "Unleased" ? undefined : 10,
    entries: () => [{ key: `${service}/${options.name ?? address}`, value }],
    directories: [],
    whenDeleted: "Nothing",
    whenLeaseLost: "Nothing",
    whenStopped: "DeleteKey",
  };
}

/** Kitex: `kitex/registry-etcd/<service>/<host>:<port>`. */
export function kitex(
  options: InstanceOptions & { readonly prefix?: string; readonly tags?: Readonly<Record<string, string>> },
): Layout {
  const { service, host, port, prefix = "kitex/registry-etcd" } = options;
  const address = joinHostPort(host, port);
  const value = JSON.stringify({ network: "tcp", address, weight: 10, tags: options.tags ?? null });
  return {
    framework: "kitex",
    ttl: 60,
    entries: () => [{ key: `${prefix}/${service}/${address}`, value }],
    directories: [],
    whenDeleted: "PollAndRegister",
    whenLeaseLost: "Register",
    whenStopped: "DeleteKey",
  };
}

/** GoFrame: `/service/<deployment>/<namespace>/<service>/<version>/<endpoints>`, the value only metadata. */
export function goFrame(
  options: InstanceOptions & {
    /** Further endpoints in the same key. */
    readonly moreEndpoints?: readonly string[];
    readonly deployment?: string;
    readonly namespace?: string;
    readonly version?: string;
  },
): Layout {
  const { service, host, port, deployment = "default", namespace = "default", version = "latest" } = options;
  const endpoints = [joinHostPort(host, port), ...(options.moreEndpoints ?? [])].join(",");
  return {
    framework: "GoFrame",
    ttl: 10,
    entries: () => [
      {
        key: `/service/${deployment}/${namespace}/${service}/${version}/${endpoints}`,
        value: JSON.stringify({ insecure: true, protocol: "http" }),
      },
    ],
    directories: [],
    whenDeleted: "Nothing",
    whenLeaseLost: "Nothing",
    whenStopped: "DeleteKey",
  };
}

/** As Go's url.QueryEscape: a space becomes a plus, and only letters, digits and `-_.~` stay. */
function queryEscape(text: string): string {
  const percent = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, percent)
    .replaceAll("%20", "+");
}

/** A UUID of version 1: it tells when it was made, as kratos' own ids do. */
function timeUuid(): string {
  // Steps of 100 ns since 1582-10-15.
  const steps = BigInt(Date.now()) * 10_000n + 122_192_928_000_000_000n;
  const hex = (value: bigint, digits: number): string => value.toString(16).padStart(digits, "0");
  const [, , , clock = "", node = ""] = crypto.randomUUID().split("-");
  return [hex(steps & 0xffffffffn, 8), hex((steps >> 32n) & 0xffffn, 4), `1${hex(steps >> 48n, 3)}`, clock, node].join(
    "-",
  );
}

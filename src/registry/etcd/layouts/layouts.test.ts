import { describe, expect, it } from "vitest";

import type { Decoded, IgnoredReason, LayoutName } from "./layout.ts";
import { LayoutSet } from "./layout-set.ts";

/** Read under one layout; go-zero and etcd naming under the prefix of their example. */
const PREFIXES: Partial<Record<LayoutName, string>> = { GoZero: "user.rpc", EtcdNaming: "foo/bar/my-service" };

function read(
  layout: LayoutName,
  key: string,
  value: string | Buffer,
  lease = "7587869424384295191",
): Decoded | IgnoredReason {
  const set = new LayoutSet([{ layout, prefix: PREFIXES[layout] }]);
  const reading = set.read({ key: Buffer.from(key), value: Buffer.from(value), lease });
  return "ignored" in reading ? reading.ignored : reading.decoded;
}

const endpoint = (host: string, port: number, isIp = true): object => ({ host, isIp, port });

describe("GoMicro", () => {
  const key = "/micro/registry/greeter/greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11";
  const value = `{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"request":{"name":"Request","type":"Request","values":[]},"response":{"name":"Response","type":"Response","values":[]},"metadata":{},"name":"Greeter.Hello"}],"nodes":[{"metadata":{"broker":"http","protocol":"mucp","registry":"etcd","server":"mucp","transport":"http"},"id":"greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11","address":"10.42.3.17:8080"}]}`;

  it("reads what go-micro writes", () => {
    expect(read("GoMicro", key, value)).toEqual({
      service: "greeter",
      instance: "greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11",
      endpoints: [endpoint("10.42.3.17", 8080)],
      metadata: { broker: "http", protocol: "mucp", registry: "etcd", server: "mucp", transport: "http" },
    });
  });

  it("reads a service without endpoints, with an IPv6 node and metadata of its own", () => {
    const bare = `{"name":"a/b","version":"latest","metadata":{"cluster":"prod-1","server":"x"},"endpoints":null,"nodes":[{"metadata":{"server":"mucp"},"id":"n/1","address":"[fd00::1]:1"}]}`;
    expect(read("GoMicro", "/micro/registry/a-b/n-1", bare)).toEqual({
      service: "a/b",
      instance: "n/1",
      endpoints: [endpoint("fd00::1", 1)],
      metadata: { cluster: "prod-1", server: "mucp" },
    });
  });

  it("reads a node whose address has no port", () => {
    const portless = value.replace("10.42.3.17:8080", "greeter.shop");
    expect(read("GoMicro", key, portless)).toMatchObject({ endpoints: [endpoint("greeter.shop", 0, false)] });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "a key with a further segment": ["UnknownKey", `${key}/x`, value],
    "a key without a node": ["Directory", "/micro/registry/greeter", value],
    "an empty segment": ["UnknownKey", "/micro/registry//x", value],
    "a value that is no JSON": ["InvalidValue", key, value.slice(0, -1)],
    "two nodes in one value": [
      "InvalidValue",
      key,
      value.replace("]}", `,{"id":"x","address":"10.0.0.1:1","metadata":{}}]}`),
    ],
    "no node at all": ["InvalidValue", key, `{"name":"greeter","nodes":[]}`],
    "another service's value": ["Mismatch", key, value.replace(`"name":"greeter"`, `"name":"other"`)],
    "another node's value": ["Mismatch", key, value.replace(`"id":"greeter-0f`, `"id":"greeter-1f`)],
    "an address that is none": ["InvalidAddress", key, value.replace("10.42.3.17:8080", "10.42.3.17:99999")],
    "a number as the address": ["InvalidValue", key, value.replace(`"10.42.3.17:8080"`, "8080")],
    "metadata that is no map of texts": ["InvalidValue", key, value.replace(`"broker":"http"`, `"broker":1`)],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("GoMicro", ...entry)).toBe(reason);
    });
  }
});

describe("GoZero", () => {
  const key = "user.rpc/7587869424384295191";

  it("reads what go-zero writes", () => {
    expect(read("GoZero", key, "10.42.3.17:8080")).toEqual({
      service: "user.rpc",
      instance: "7587869424384295191",
      endpoints: [endpoint("10.42.3.17", 8080)],
      metadata: {},
    });
  });

  it("reads an id that the application chose", () => {
    expect(read("GoZero", "user.rpc/7", "[fd00::1]:8080")).toMatchObject({ service: "user.rpc", instance: "7" });
  });

  it("reads a service name with slashes", () => {
    expect(read("GoZero", "user.rpc/eu/7", "10.0.0.1:80")).toMatchObject({ service: "user.rpc/eu", instance: "7" });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string | Buffer, lease?: string]> = {
    "the id of another lease": ["LeaseMismatch", key, "10.42.3.17:8080", "7587869424384295192"],
    "a lease's id without a lease": ["LeaseMismatch", key, "10.42.3.17:8080", "0"],
    "a service whose name begins the same": ["UnknownKey", "user.rpc2/7587869424384295191", "10.42.3.17:8080"],
    "an id that is no number": ["UnknownKey", "user.rpc/a7", "10.42.3.17:8080"],
    "an id with a leading zero": ["UnknownKey", "user.rpc/07", "10.42.3.17:8080"],
    "id 0": ["UnknownKey", "user.rpc/0", "10.42.3.17:8080"],
    "an id above int64": ["UnknownKey", "user.rpc/9223372036854775808", "10.42.3.17:8080", "9223372036854775808"],
    "the prefix itself": ["UnknownKey", "user.rpc/", "10.42.3.17:8080"],
    "an address without a port": ["InvalidAddress", key, "10.42.3.17"],
    JSON: ["InvalidAddress", key, `{"address":"10.42.3.17:8080"}`],
    "a line end behind the address": ["InvalidAddress", key, "10.42.3.17:8080\n"],
    "bytes that are no text": ["InvalidValue", key, Buffer.from([0xff, 0xfe])],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("GoZero", ...entry)).toBe(reason);
    });
  }
});

describe("Kratos", () => {
  const key = "/microservices/helloworld/5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311";
  const value = `{"id":"5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311","name":"helloworld","version":"v1.0.0","metadata":{},"endpoints":["http://10.42.3.17:8000","grpc://10.42.3.17:9000"]}`;

  it("reads what kratos writes", () => {
    expect(read("Kratos", key, value)).toEqual({
      service: "helloworld",
      instance: "5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311",
      endpoints: [endpoint("10.42.3.17", 8000), endpoint("10.42.3.17", 9000)],
      metadata: {},
    });
  });

  it("reads IPv6, secure schemes and the old way to say secure", () => {
    const other = value.replace(
      `"http://10.42.3.17:8000","grpc://10.42.3.17:9000"`,
      `"https://[fd00::1]:8000","grpcs://[fd00::1]:9000","grpc://[fd00::1]:9001?isSecure=false"`,
    );
    expect(read("Kratos", key, other)).toMatchObject({
      endpoints: [endpoint("fd00::1", 8000), endpoint("fd00::1", 9000), endpoint("fd00::1", 9001)],
    });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    // kratos' own reader asks for "/microservices/user" and gets "/microservices/user2/..." too.
    "a value of a service whose name begins the same": ["Mismatch", key.replace("helloworld", "helloworld2"), value],
    "another instance's value": ["Mismatch", key.replace("5c1f", "6c1f"), value],
    "a key without an instance": ["Directory", "/microservices/helloworld", value],
    "one bad endpoint among good ones": [
      "InvalidAddress",
      key,
      value.replace("grpc://10.42.3.17:9000", "grpc://nowhere:99999"),
    ],
    "an endpoint without a port": ["InvalidAddress", key, value.replace(":9000", "")],
    "an endpoint with a path": ["InvalidAddress", key, value.replace(":9000", ":9000/v1")],
    "an endpoint with a user": ["InvalidAddress", key, value.replace("grpc://", "grpc://a@")],
    "no endpoints": ["InvalidAddress", key, value.replace(/"endpoints":.*/, `"endpoints":[]}`)],
    "endpoints that are null": ["InvalidValue", key, value.replace(/"endpoints":.*/, `"endpoints":null}`)],
    "an array": ["InvalidValue", key, `[${value}]`],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("Kratos", ...entry)).toBe(reason);
    });
  }
});

describe("DubboInterface", () => {
  const url =
    "dubbo%3A%2F%2F10.42.3.17%3A20000%2Fcom.ikurento.user.UserProvider%3Fanyhost%3Dtrue%26application%3DBDTService%26interface%3Dcom.ikurento.user.UserProvider%26methods%3DGetUser%26registry.role%3D3%26timestamp%3D1767000000";
  const directory = "/dubbo/com.ikurento.user.UserProvider";
  const key = `${directory}/providers/${url}`;

  it("reads what dubbo-go writes", () => {
    expect(read("DubboInterface", key, "")).toEqual({
      service: "com.ikurento.user.UserProvider",
      instance: "10.42.3.17:20000",
      endpoints: [endpoint("10.42.3.17", 20000)],
      metadata: {
        anyhost: "true",
        application: "BDTService",
        interface: "com.ikurento.user.UserProvider",
        methods: "GetUser",
        "registry.role": "3",
        timestamp: "1767000000",
      },
    });
  });

  it("reads repeated and twice escaped parameters, an escaped interface and IPv6", () => {
    const escaped = `/dubbo/com.X%241/providers/${encodeURIComponent("tri://[fd00::1]:1/com.X%241?interface=com.X%241&methods=A%2CB&methods=C&note=a+b")}`;
    expect(read("DubboInterface", escaped, "")).toMatchObject({
      service: "com.X$1",
      endpoints: [endpoint("fd00::1", 1)],
      metadata: { methods: "A,B", note: "a b" },
    });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "an interface's directory": ["Directory", directory, ""],
    "the providers' directory": ["Directory", `${directory}/providers`, ""],
    consumers: ["NotAProvider", `${directory}/consumers/${url.replace("dubbo", "consumer")}`, ""],
    routers: ["NotAProvider", `${directory}/routers/${url}`, ""],
    configurators: ["NotAProvider", `${directory}/configurators/${url}`, ""],
    "the directory of consumers": ["NotAProvider", `${directory}/consumers`, ""],
    "a placeholder under providers": ["NotAProvider", key.replace("dubbo%3A", "empty%3A"), ""],
    "a parameter that names another category": ["NotAProvider", `${key}%26category%3Dconfigurators`, ""],
    "application metadata": ["UnknownKey", "/dubbo/BDTService/2389012930", `{"app":"BDTService"}`],
    "the mapping of interfaces": ["UnknownKey", "/dubbo/mapping/com.ikurento.user.UserProvider", "BDTService,Other"],
    "a provider's key with a value": ["InvalidValue", key, "x"],
    "another interface's URL": ["Mismatch", key.replace("/dubbo/com.ikurento", "/dubbo/com.other"), ""],
    "a URL without a port": ["InvalidAddress", key.replace("%3A20000", ""), ""],
    "a URL that is not escaped": ["UnknownKey", `${directory}/providers/dubbo://10.42.3.17:20000/x`, ""],
    "a broken escape": ["UnknownKey", `${directory}/providers/dubbo%3A%2F%2F10.42.3.17%3A20000%2`, ""],
    "a URL without a path": ["UnknownKey", `${directory}/providers/dubbo%3A%2F%2F10.42.3.17%3A20000`, ""],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("DubboInterface", ...entry)).toBe(reason);
    });
  }
});

describe("DubboApplication", () => {
  const key = "/services/BDTService/10.42.3.17:20000";
  const value = `{"ID":"10.42.3.17:20000","ServiceName":"BDTService","Host":"10.42.3.17","Port":20000,"Weight":0,"Enable":true,"Healthy":true,"Metadata":{"dubbo.metadata.storage-type":"local","dubbo.endpoints":"[{\\"port\\":20000,\\"protocol\\":\\"tri\\"}]","dubbo.metadata.revision":"2389012930"},"ServiceMetadata":null,"Address":"10.42.3.17:20000","GroupName":"","Tag":""}`;

  it("reads what dubbo-go writes", () => {
    expect(read("DubboApplication", key, value)).toEqual({
      service: "BDTService",
      instance: "10.42.3.17:20000",
      endpoints: [endpoint("10.42.3.17", 20000)],
      metadata: {
        "dubbo.metadata.storage-type": "local",
        "dubbo.endpoints": `[{"port":20000,"protocol":"tri"}]`,
        "dubbo.metadata.revision": "2389012930",
      },
    });
  });

  it("reads an empty Address, a line end behind the JSON and further ports", () => {
    const other = `${value.replace(`"Address":"10.42.3.17:20000"`, `"Address":""`).replace(`}]"`, `},{\\"port\\":20001,\\"protocol\\":\\"dubbo\\"}]"`)}\n`;
    expect(read("DubboApplication", key, other)).toMatchObject({
      endpoints: [endpoint("10.42.3.17", 20000), endpoint("10.42.3.17", 20001)],
    });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "an application's directory": ["Directory", "/services/BDTService", ""],
    "a deeper key": ["UnknownKey", `${key}/x`, value],
    "another application's value": ["Mismatch", key.replace("BDTService", "Other"), value],
    "another address than the key's": ["Mismatch", key.replace("20000", "20001"), value],
    "an Address that contradicts Host": [
      "Mismatch",
      key,
      value.replace(`"Address":"10.42.3.17`, `"Address":"10.42.3.18`),
    ],
    "a port that is a text": ["InvalidValue", key, value.replace(`"Port":20000`, `"Port":"20000"`)],
    "port 0": ["InvalidAddress", key.replace("20000", "0"), value.replaceAll("20000", "0")],
    "further endpoints that are no list": [
      "InvalidValue",
      key,
      value.replace(`[{\\"port\\":20000,\\"protocol\\":\\"tri\\"}]`, "{}"),
    ],
    "a further port that is none": ["InvalidValue", key, value.replace(`\\"port\\":20000`, `\\"port\\":70000`)],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("DubboApplication", ...entry)).toBe(reason);
    });
  }
});

describe("EtcdNaming", () => {
  const key = "foo/bar/my-service/e1";
  const value = `{"Op":0,"Addr":"10.42.3.17:9000","Metadata":null}`;

  it("reads what etcd's gRPC naming writes", () => {
    expect(read("EtcdNaming", key, value)).toEqual({
      service: "foo/bar/my-service",
      instance: "e1",
      endpoints: [endpoint("10.42.3.17", 9000)],
      metadata: {},
    });
  });

  it("reads an entry written by hand: no Op, no port, metadata of any kind", () => {
    expect(read("EtcdNaming", key, `{"Addr":"1.2.3.4","Metadata":"..."}`, "0")).toMatchObject({
      endpoints: [endpoint("1.2.3.4", 0)],
      metadata: {},
    });
    expect(read("EtcdNaming", key, `{"Addr":"1.2.3.4","Metadata":{"cluster":"a","n":1,"x":{}}}`)).toMatchObject({
      metadata: { cluster: "a", n: "1" },
    });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "a target whose name begins the same": ["UnknownKey", "foo/bar/my-service2/e1", value],
    "the target without a name behind it": ["UnknownKey", "foo/bar/my-service", value],
    "an entry that takes an address away": ["NotAnInstance", key, value.replace(`"Op":0`, `"Op":1`)],
    "an operation that does not exist": ["InvalidValue", key, value.replace(`"Op":0`, `"Op":2`)],
    "a field of another format": ["InvalidValue", key, value.replace(`"Op":0`, `"Op":0,"Weight":1`)],
    "an address that is no text": ["InvalidValue", key, `{"Op":0,"Addr":9000}`],
    "an empty address": ["InvalidAddress", key, `{"Op":0,"Addr":""}`],
    "plain text": ["InvalidValue", key, "10.42.3.17:9000"],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("EtcdNaming", ...entry)).toBe(reason);
    });
  }
});

describe("Kitex", () => {
  const key = "kitex/registry-etcd/echo/10.42.3.17:8888";
  const value = `{"network":"tcp","address":"10.42.3.17:8888","weight":10,"tags":{}}`;

  it("reads what Kitex writes", () => {
    expect(read("Kitex", key, value)).toEqual({
      service: "echo",
      instance: "10.42.3.17:8888",
      endpoints: [endpoint("10.42.3.17", 8888)],
      metadata: {},
    });
  });

  it("reads tags, and tags that are null", () => {
    expect(read("Kitex", key, value.replace("{}", `{"cluster":"a"}`))).toMatchObject({ metadata: { cluster: "a" } });
    expect(read("Kitex", key, value.replace("{}", "null"))).toMatchObject({ metadata: {} });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "another address than the key's": ["Mismatch", key.replace("8888", "8889"), value],
    "a socket in the file system": ["InvalidValue", key, value.replace("tcp", "unix")],
    "a service's directory": ["Directory", "kitex/registry-etcd/echo", value],
    "an address without a port": ["InvalidAddress", key.replace(":8888", ""), value.replace(":8888", "")],
    "no JSON": ["InvalidValue", key, "x"],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("Kitex", ...entry)).toBe(reason);
    });
  }
});

describe("GoFrame", () => {
  const key = "/service/default/default/hello.svc/latest/10.42.3.17:8000,10.42.3.18:8000";
  const value = `{"insecure":true,"protocol":"http"}`;

  it("reads what GoFrame writes: several endpoints in one key", () => {
    expect(read("GoFrame", key, value)).toEqual({
      service: "hello.svc",
      instance: "10.42.3.17:8000,10.42.3.18:8000",
      endpoints: [endpoint("10.42.3.17", 8000), endpoint("10.42.3.18", 8000)],
      metadata: { insecure: "true", protocol: "http" },
    });
  });

  it("reads metadata that is null", () => {
    expect(read("GoFrame", key, "null")).toMatchObject({ metadata: {} });
  });

  const refused: Record<string, [reason: IgnoredReason, key: string, value: string]> = {
    "a seventh segment": ["UnknownKey", `${key}/x`, value],
    "a version without endpoints": ["Directory", "/service/default/default/hello.svc/latest", value],
    "one bad endpoint among good ones": ["InvalidAddress", `${key},10.42.3.19`, value],
    "an empty endpoint": ["InvalidAddress", `${key},`, value],
    "no JSON": ["InvalidValue", key, ""],
    "a list": ["InvalidValue", key, "[]"],
  };
  for (const [sentence, [reason, ...entry]] of Object.entries(refused)) {
    it(`ignores ${sentence}`, () => {
      expect(read("GoFrame", ...entry)).toBe(reason);
    });
  }
});

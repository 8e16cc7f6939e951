import { expect, test } from "vitest";

import {
  dubboApplication,
  dubboInterface,
  etcdNaming,
  goFrame,
  goMicro,
  goZero,
  kitex,
  kratos,
  type Layout,
} from "./layouts.ts";

const host = "10.42.3.17";

/** Seen in etcd after real programs of these frameworks had registered. */
const cases: Record<string, { layout: Layout; key: string; value: string }> = {
  "go-micro writes one service with one node": {
    layout: goMicro({ service: "greeter", host, port: 8080, nodeId: "greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11" }),
    key: "/micro/registry/greeter/greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11",
    value:
      '{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"request":{"name":"Request","type":"Request","values":[]},"response":{"name":"Response","type":"Response","values":[]},"metadata":{},"name":"Greeter.Hello"}],"nodes":[{"metadata":{"broker":"http","protocol":"mucp","registry":"etcd","server":"mucp","transport":"http"},"id":"greeter-0f2c9b0e-6a1b-4f0d-9d59-6b1f6f6f2f11","address":"10.42.3.17:8080"}]}',
  },
  "go-micro replaces slashes in names": {
    layout: goMicro({ service: "a/b", host, port: 1, nodeId: "n/1", endpoints: null }),
    key: "/micro/registry/a-b/n-1",
    value:
      '{"name":"a/b","version":"latest","metadata":null,"endpoints":null,"nodes":[{"metadata":{"broker":"http","protocol":"mucp","registry":"etcd","server":"mucp","transport":"http"},"id":"n/1","address":"10.42.3.17:1"}]}',
  },
  "go-zero names the key after its lease": {
    layout: goZero({ service: "user.rpc", host, port: 8080 }),
    key: "user.rpc/7587869424384295191",
    value: "10.42.3.17:8080",
  },
  "go-zero with an id of its own": {
    layout: goZero({ service: "user.rpc", host: "fd00::1", port: 8080, id: 7 }),
    key: "user.rpc/7",
    value: "[fd00::1]:8080",
  },
  "kratos lists one URL for each protocol": {
    layout: kratos({
      service: "helloworld",
      host,
      port: 8000,
      id: "5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311",
      endpoints: ["http://10.42.3.17:8000", "grpc://10.42.3.17:9000"],
    }),
    key: "/microservices/helloworld/5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311",
    value:
      '{"id":"5c1f8d1e-9a52-11ef-8f2a-0a580a2a0311","name":"helloworld","version":"v1.0.0","metadata":{},"endpoints":["http://10.42.3.17:8000","grpc://10.42.3.17:9000"]}',
  },
  "dubbo-go at interface level has everything in the key": {
    layout: dubboInterface({ service: "com.ikurento.user.UserProvider", host, port: 20000, timestamp: 1767000000 }),
    key: "/dubbo/com.ikurento.user.UserProvider/providers/dubbo%3A%2F%2F10.42.3.17%3A20000%2Fcom.ikurento.user.UserProvider%3Fanyhost%3Dtrue%26application%3DBDTService%26interface%3Dcom.ikurento.user.UserProvider%26methods%3DGetUser%26registry.role%3D3%26timestamp%3D1767000000",
    value: "",
  },
  "dubbo-go escapes parameters twice": {
    layout: dubboInterface({ service: "X", host, port: 1, timestamp: 1, parameters: { methods: "A,B c*" } }),
    key: "/dubbo/X/providers/dubbo%3A%2F%2F10.42.3.17%3A1%2FX%3Fanyhost%3Dtrue%26application%3DBDTService%26interface%3DX%26methods%3DA%252CB%2Bc%252A%26registry.role%3D3%26timestamp%3D1",
    value: "",
  },
  "dubbo-go at application level writes a Go struct and a newline": {
    layout: dubboApplication({ service: "BDTService", host, port: 20000 }),
    key: "/services/BDTService/10.42.3.17:20000",
    value:
      '{"ID":"10.42.3.17:20000","ServiceName":"BDTService","Host":"10.42.3.17","Port":20000,"Weight":0,"Enable":true,"Healthy":true,"Metadata":{"dubbo.endpoints":"[{\\"port\\":20000,\\"protocol\\":\\"tri\\"}]","dubbo.metadata.revision":"2389012930","dubbo.metadata.storage-type":"local"},"ServiceMetadata":null,"Address":"10.42.3.17:20000","GroupName":"","Tag":""}\n',
  },
  "etcd naming with a name of its own": {
    layout: etcdNaming({ service: "foo/bar/my-service", name: "e1", host, port: 9000 }),
    key: "foo/bar/my-service/e1",
    value: '{"Op":0,"Addr":"10.42.3.17:9000","Metadata":null}',
  },
  "kitex under its default prefix": {
    layout: kitex({ service: "example.shop.item", host, port: 8888 }),
    key: "kitex/registry-etcd/example.shop.item/10.42.3.17:8888",
    value: '{"network":"tcp","address":"10.42.3.17:8888","weight":10,"tags":null}',
  },
  "GoFrame puts all endpoints into one key": {
    layout: goFrame({ service: "hello.svc", host, port: 8000, moreEndpoints: ["10.42.3.18:8000"] }),
    key: "/service/default/default/hello.svc/latest/10.42.3.17:8000,10.42.3.18:8000",
    value: '{"insecure":true,"protocol":"http"}',
  },
};

test.each(Object.entries(cases))("%s", (_, { layout, key, value }) => {
  expect(layout.entries("7587869424384295191")).toEqual([{ key, value }]);
});

test("only dubbo-go at interface level makes directory keys, down to the category", () => {
  const { directories } = dubboInterface({ service: "com.X", host, port: 1 });
  expect(directories).toEqual(["/dubbo", "/dubbo/com.X", "/dubbo/com.X/providers"]);
  expect(Object.values(cases).filter(({ layout }) => layout.directories.length > 0)).toHaveLength(2);
});

test("kratos' default id is a UUID of version 1 that holds the time it was made", () => {
  const before = Date.now();
  const [{ key } = { key: "" }] = kratos({ service: "s", host, port: 1 }).entries("0");
  const [low = "", middle = "", high = ""] = (key.split("/").at(-1) ?? "").split("-");
  expect(high[0]).toBe("1");
  const made = Number((BigInt(`0x${high.slice(1)}${middle}${low}`) - 122_192_928_000_000_000n) / 10_000n);
  expect(made).toBeGreaterThanOrEqual(before);
  expect(made).toBeLessThanOrEqual(Date.now());
});

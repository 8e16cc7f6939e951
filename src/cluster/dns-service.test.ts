import { describe, expect, it } from "vitest";

import { DnsServices, projectService } from "./dns-service.ts";

function service(name: string, spec: object, uid = name) {
  return projectService({ metadata: { name, namespace: "kube-system", uid, resourceVersion: "1" }, spec });
}

const DNS = service("kube-dns", { clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10", "FD00::A"] });
const added = (object: typeof DNS) => ({ type: "Added", object, createdAfter: 0 }) as const;

describe("the cluster's name servers", () => {
  const table: Record<string, { services: (typeof DNS)[]; nameservers: readonly string[] | undefined }> = {
    "are not known without a Service": { services: [], nameservers: undefined },
    "are the address of the one Service, in its primary family": { services: [DNS], nameservers: ["10.96.0.10"] },
    "can be of IPv6": {
      services: [service("kube-dns", { clusterIP: "FD00:0::A", clusterIPs: ["FD00:0::A"] })],
      nameservers: ["fd00::a"],
    },
    "are not the headless Service beside it": {
      services: [service("metrics", { clusterIP: "None", clusterIPs: ["None"] }), DNS],
      nameservers: ["10.96.0.10"],
    },
    "are not known with a Service that has no address yet": {
      services: [service("kube-dns", {})],
      nameservers: undefined,
    },
    "are not known with two Services, as beside a cache on every node": {
      services: [DNS, service("kube-dns-upstream", { clusterIP: "10.96.7.7", clusterIPs: ["10.96.7.7"] })],
      nameservers: undefined,
    },
  };

  it.each(Object.entries(table))("%s", (_, { services, nameservers }) => {
    const dns = new DnsServices();
    dns.apply(services.map(added));
    expect(dns.nameservers).toEqual(nameservers);
  });

  it("follow the Service, and subscribers are told when the address is another", () => {
    const dns = new DnsServices();
    const told: (readonly string[] | undefined)[] = [];
    const end = dns.subscribe(() => told.push(dns.nameservers));
    dns.apply([added(DNS)]);
    dns.apply([{ type: "Modified", object: { ...DNS, resourceVersion: "2" }, previous: DNS }]);
    const anew = service("kube-dns", { clusterIP: "10.96.0.11", clusterIPs: ["10.96.0.11"] }, "second");
    dns.apply([{ type: "Deleted", object: DNS, final: true }, added(anew)]);
    dns.apply([{ type: "Deleted", object: anew, final: false }]);
    end();
    dns.apply([added(DNS)]);
    expect(told).toEqual([["10.96.0.10"], ["10.96.0.11"], undefined]);
  });
});

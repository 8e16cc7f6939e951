import { describe, expect, it } from "vitest";

import { living, recordOf, SEEN } from "../../test/support/judging.ts";
import { LearnedServices } from "./services.ts";

const cart = recordOf({});
const orders = recordOf({ record: { service: "orders" } });
const workload = "shop/Deployment/a";

function known(services: LearnedServices, registry = "etcd", of = workload): string[] {
  return [...services.servicesOf(registry, of)];
}

describe("what services a workload registers", () => {
  it("is nothing before anything was seen", () => {
    expect(known(new LearnedServices())).toEqual([]);
  });

  it("is what is listed at the addresses of its pods, all of them together", () => {
    const services = new LearnedServices();
    services.observe(cart, living("a"), true);
    services.observe(orders, living("a", {}, { uid: "another" }), true);
    expect(known(services)).toEqual(["cart", "orders"]);
  });

  it("is known for each registry apart", () => {
    const services = new LearnedServices();
    services.observe(cart, living("a"), true);
    expect(known(services, "consul")).toEqual([]);
  });

  it("leaves out what is proven older than the pod", () => {
    const services = new LearnedServices();
    services.observe(cart, living("a", { createdAfter: SEEN + 1 }), true);
    expect(known(services)).toEqual([]);
  });

  it("keeps what may be as young as the pod", () => {
    const services = new LearnedServices();
    services.observe(cart, living("a", { createdAfter: SEEN }), true);
    expect(known(services)).toEqual(["cart"]);
  });

  it("keeps even older ones where a rewrite can not be seen", () => {
    const services = new LearnedServices();
    services.observe(cart, living("a", { createdAfter: SEEN + 1 }), false);
    expect(known(services)).toEqual(["cart"]);
  });

  it("includes what is expected of it", () => {
    const services = new LearnedServices();
    services.expect("etcd", workload, "stock");
    expect(known(services)).toEqual(["stock"]);
  });

  it("is unknown again, and stays so, when it is too much to remember", () => {
    const services = new LearnedServices({ workloads: 10, services: 1 });
    services.observe(cart, living("a"), true);
    services.observe(orders, living("a"), true);
    services.observe(cart, living("a"), true);
    expect(known(services)).toEqual([]);
  });

  it("is forgotten for the workload that was not seen for longest", () => {
    const services = new LearnedServices({ workloads: 2, services: 10 });
    for (const name of ["a", "b", "a", "c"]) services.observe(cart, living(name), true);
    const remembered = ["a", "b", "c"].filter((name) => known(services, "etcd", `shop/Deployment/${name}`).length > 0);
    expect(remembered).toEqual(["a", "c"]);
  });
});

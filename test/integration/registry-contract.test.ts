import { describeRegistryContract } from "../support/registry-contract/contract.ts";
import { startConsulHarness } from "../support/registry-consul.ts";
import { startEtcdHarness } from "../support/registry-etcd.ts";
import { startMemoryHarness } from "../support/registry-memory.ts";
import { startNacosHarness } from "../support/registry-nacos.ts";

describeRegistryContract("the registry in memory", startMemoryHarness);
describeRegistryContract("etcd", startEtcdHarness);
describeRegistryContract("Consul", startConsulHarness);
describeRegistryContract("Nacos", startNacosHarness);

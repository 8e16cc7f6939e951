/** Real control planes and registries for tests, the demo and the bench: started in seconds, on 127.0.0.1 only. */
export { type ConsulAgent, type ConsulOptions, type ConsulServer, startConsul } from "./consul.ts";
export { type ControlPlane, startControlPlane } from "./control-plane.ts";
export { type EtcdOptions, type EtcdServer, startEtcd } from "./etcd.ts";
export { writeKubeconfig } from "./kubeconfig.ts";
export { DEATH_ANNOTATION } from "./kwok.ts";
export { NACOS_USER, type NacosServer, startNacos, startNacosCluster } from "./nacos.ts";
export { PROBE_IMAGE, type RealNode, type RealNodeOptions, startRealNode } from "./node/real-node.ts";
export { whyNoRealNode } from "./node/requirements.ts";
export { type ManagedProcess } from "./process.ts";
export { Scope } from "./scope.ts";

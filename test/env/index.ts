/** Real control planes and registries for tests, the demo and the bench: started in seconds, on 127.0.0.1 only. */
export { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "./control-plane.ts";
export { type EtcdOptions, type EtcdServer, startEtcd } from "./etcd.ts";
export { type ManagedProcess } from "./process.ts";

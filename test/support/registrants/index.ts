/** Service processes that register themselves in etcd exactly as Go frameworks do. */
export {
  dubboApplication,
  dubboInterface,
  etcdNaming,
  goFrame,
  goMicro,
  goZero,
  type InstanceOptions,
  kitex,
  kratos,
  type Layout,
} from "./layouts.ts";
export { Registrant } from "./registrant.ts";
export { type EtcdAccess, EtcdSession } from "./session.ts";
export { EtcdWatch } from "./watch.ts";

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
export { Registrant, type RegistrantOptions } from "./registrant.ts";
export { type EtcdAccess, EtcdSession, type StoredKey } from "./session.ts";

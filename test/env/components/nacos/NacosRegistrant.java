import com.alibaba.nacos.api.naming.NamingFactory;
import com.alibaba.nacos.api.naming.pojo.Instance;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;

/**
 * A process that registers over gRPC as every Java client does. Arguments: server address, namespace, group, service, and
 * then ip:port, one or more; several are registered in one batch.
 */
public class NacosRegistrant {
  public static void main(String[] arguments) throws Exception {
    var properties = new Properties();
    properties.put("serverAddr", arguments[0]);
    properties.put("namespace", arguments[1]);
    var naming = NamingFactory.createNamingService(properties);
    var instances = new ArrayList<Instance>();
    for (var address : Arrays.copyOfRange(arguments, 4, arguments.length)) {
      var instance = new Instance();
      instance.setIp(address.substring(0, address.lastIndexOf(':')));
      instance.setPort(Integer.parseInt(address.substring(address.lastIndexOf(':') + 1)));
      instance.setWeight(3.0);
      instance.setMetadata(Map.of("owner", "registrant"));
      instances.add(instance);
    }
    if (instances.size() == 1) naming.registerInstance(arguments[3], arguments[2], instances.get(0));
    else naming.batchRegisterInstance(arguments[3], arguments[2], instances);
    System.out.println("registered");
    Thread.currentThread().join();
  }
}

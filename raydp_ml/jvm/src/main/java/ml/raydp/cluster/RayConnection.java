package ml.raydp.cluster;

import com.typesafe.config.ConfigFactory;
import io.ray.api.Ray;
import io.ray.runtime.RayNativeRuntime;
import io.ray.runtime.config.RayConfig;
import io.ray.runtime.gcs.GcsClient;
import io.ray.runtime.generated.Gcs.GcsNodeInfo;
import io.ray.runtime.util.JniUtils;
import io.ray.runtime.util.SystemConfig;
import java.lang.reflect.Field;
import org.apache.spark.SparkConf;
import org.apache.spark.util.ShutdownHookManager$;
import scala.runtime.BoxedUnit;

/**
 * Connects a JVM to Ray as a driver, as {@code Ray.init()} does but for three things: on the very
 * node of the Python driver (hosts may have several), without a reconfiguration of log4j, and
 * without an exit hook that runs at the same time as Spark's, which crashes JVMs.
 */
final class RayConnection {

  /** Spark's hooks run one after the other, the highest priority first, and the context's is 50. */
  private static final int AFTER_SPARK = 10;

  static void open(SparkConf conf) throws ReflectiveOperationException {
    for (String option : new String[] {"address", "node-ip", "session-dir", "job.namespace"}) {
      System.setProperty("ray." + option, conf.get(Settings.PREFIX + "ray." + option));
    }
    System.setProperty("ray.run-mode", "CLUSTER");
    ConfigFactory.invalidateCaches();
    // As Ray's workers do. Left to itself a driver unpacks these 41 MB under /tmp/ray for good.
    JniUtils.loadLibrary(conf.get(Settings.SESSION_FOLDER), "core_worker_library_java", true);
    RayConfig config = RayConfig.create();
    SystemConfig.setup(config);
    RayNativeRuntime runtime = new RayNativeRuntime(config);
    set(runtime, RayNativeRuntime.class, "gcsClient", new ClientOfNode(config, node(conf)));
    runtime.start();
    set(null, Ray.class, "runtime", runtime);
    ShutdownHookManager$.MODULE$.addShutdownHook(
        AFTER_SPARK,
        () -> {
          Ray.shutdown();
          return BoxedUnit.UNIT;
        });
  }

  private static void set(Object object, Class<?> type, String name, Object value)
      throws ReflectiveOperationException {
    Field field = type.getDeclaredField(name);
    field.setAccessible(true);
    field.set(object, value);
  }

  private static GcsNodeInfo node(SparkConf conf) {
    return GcsNodeInfo.newBuilder()
        .setSessionDir(conf.get(Settings.SESSION_FOLDER))
        .setRayletSocketName(conf.get(Settings.PREFIX + "ray.raylet"))
        .setObjectStoreSocketName(conf.get(Settings.PREFIX + "ray.object-store"))
        .setNodeManagerPort(Integer.parseInt(conf.get(Settings.PREFIX + "ray.port")))
        .build();
  }

  /** Ray's own would choose any of the nodes that have the driver's address. */
  private static final class ClientOfNode extends GcsClient {

    private final GcsNodeInfo node;

    ClientOfNode(RayConfig config, GcsNodeInfo node) {
      super(config.getBootstrapAddress(), config.redisUsername, config.redisPassword);
      this.node = node;
    }

    @Override
    public GcsNodeInfo getNodeToConnectForDriver(String address) {
      return node;
    }
  }

  private RayConnection() {}
}

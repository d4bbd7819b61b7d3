package ml.raydp.cluster;

import io.ray.api.ActorHandle;
import io.ray.api.Ray;
import io.ray.api.call.ActorCreator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkException;

/** The driver JVM as a driver of Ray: what it starts there. */
public final class RayDriver {

  private static long seconds; // that are left of init_spark's time-out

  private static FutureTask<ActorHandle<AppMaster>> first;

  /**
   * Begins to start the AppMaster and the executors' JVMs while Spark itself still starts; called
   * by Python as soon as there is a JVM. They wait for {@link RaySchedulerBackend}.
   */
  public static synchronized void begin() {
    SparkConf conf = new SparkConf();
    seconds = Math.max(1, Long.parseLong(conf.get(Settings.PREFIX + "timeout")));
    int executors = RaySchedulerBackend.initialExecutors(conf);
    first = new FutureTask<>(() -> {
      RayConnection.open(conf);
      Settings settings = RaySchedulerBackend.settings(conf);
      ActorHandle<AppMaster> master = startMaster(settings, "appmaster");
      master.task(AppMaster::prepare, settings.text(), executors).remote();
      return master;
    });
    Thread thread = new Thread(first, "raydp_ml-begin");
    thread.setDaemon(true);
    // A JVM that exits while a thread is in Ray's native code may crash.
    Runtime.getRuntime().addShutdownHook(new Thread(() -> join(thread)));
    thread.start();
  }

  /** The AppMaster that {@link #begin} has started. */
  static ActorHandle<AppMaster> firstMaster() throws SparkException {
    try {
      return first.get(seconds, TimeUnit.SECONDS);
    } catch (ExecutionException error) {
      throw new SparkException("Ray did not start an AppMaster: " + error.getCause(), error);
    } catch (TimeoutException error) {
      throw new SparkException("Ray started no AppMaster in " + seconds + " s.", error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new SparkException("Interrupted while Ray started an AppMaster.", error);
    }
  }

  static ActorHandle<AppMaster> startMaster(Settings settings, String name) {
    List<String> options = JavaOptions.of(settings, name);
    options.addAll(JavaOptions.SMALL);
    ActorCreator<AppMaster> creator = Ray.actor(AppMaster::new).setJvmOptions(options);
    return creator.setResource(settings.get(Settings.MASTER_RESOURCE), 0.001).remote();
  }

  private static void join(Thread thread) {
    try {
      thread.join(TimeUnit.SECONDS.toMillis(10));
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private RayDriver() {}
}

package ml.raydp.cluster;

import io.ray.api.Ray;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.SparkEnv;
import org.apache.spark.executor.CoarseGrainedExecutorBackend;
import org.apache.spark.executor.CoarseGrainedExecutorBackend$;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.rpc.RpcEnv;
import scala.Option;
import scala.Some;
import scala.Tuple2;
import scala.collection.immutable.Map;

/** The Ray actor whose JVM is one Spark executor. */
public final class ExecutorActor {

  /** The Ray node on which an executor runs; the exchange finds its block server by it. */
  static final String NODE_ID = "RAYDP_ML_NODE_ID";

  private final Sealed receiver = Sealed.receiver();

  /**
   * Answers as soon as Ray has found a place for this actor, and gets ready meanwhile.
   *
   * @return the key to seal its settings with
   */
  public String place() {
    Logging.apply();
    // Loads most of what an executor needs while the driver may still be starting.
    CoarseGrainedExecutorBackend$.MODULE$.logName();
    return receiver.publicKey();
  }

  private static String node() {
    return Ray.getRuntimeContext().getCurrentNodeId().toString();
  }

  /** Runs the executor; returns a reason when it has ended in good order. */
  public String run(String sealed) throws IOException {
    Settings settings = Settings.parse(receiver.open(sealed));
    Path folder = GuardedFolder.create();
    System.setProperty(NODE_ID, node());
    System.setProperty("spark.local.dir", folder.toString());
    for (Tuple2<String, String> entry : settings.sparkConf().getAll()) {
      System.setProperty(entry._1(), entry._2()); // from where Spark takes an executor's first conf
    }
    String host = System.getProperty("ray.node-ip");
    Thread.currentThread().setContextClassLoader(ExecutorActor.class.getClassLoader());
    CoarseGrainedExecutorBackend$.MODULE$.run(
        new CoarseGrainedExecutorBackend.Arguments(
            settings.get(Settings.DRIVER_URL),
            settings.get(Settings.EXECUTOR_ID),
            host,
            host,
            settings.getInt(Settings.CORES),
            settings.get(Settings.APP_ID),
            Option.empty(),
            Option.empty(),
            ResourceProfile.DEFAULT_RESOURCE_PROFILE_ID()),
        (rpcEnv, arguments, env, profile) -> {
          // Else it keeps the files that users add in the folder where somebody started Ray.
          env.driverTmpDir_$eq(new Some<>(folder.toString()));
          GuardedFolder.add(folder, blockFolders(env));
          return new Backend(rpcEnv, arguments, env, profile);
        });
    return "Spark ended it.";
  }

  /** Where Spark keeps blocks, which may be on disks of the user's choice. */
  private static List<String> blockFolders(SparkEnv env) {
    return Arrays.stream(env.blockManager().diskBlockManager().localDirs())
        .map(File::getAbsolutePath)
        .toList();
  }

  private static final class Backend extends CoarseGrainedExecutorBackend {

    Backend(
        RpcEnv rpcEnv,
        CoarseGrainedExecutorBackend.Arguments arguments,
        SparkEnv env,
        ResourceProfile profile) {
      super(
          rpcEnv,
          arguments.driverUrl(),
          arguments.executorId(),
          arguments.bindAddress(),
          arguments.hostname(),
          arguments.cores(),
          env,
          arguments.resourcesFileOpt(),
          profile);
    }

    @Override
    @SuppressWarnings("unchecked") // to Java, Scala's updated returns a raw type
    public Map<String, String> extractAttributes() {
      return super.extractAttributes().updated(NODE_ID, System.getProperty(NODE_ID));
    }

    @Override
    public void exitExecutor(int code, String reason, Throwable cause, boolean notifyDriver) {
      log().error("The executor ends itself: " + reason, cause);
      // No exit hooks: Ray's and Spark's would run at once, and crash in Ray's native code. The
      // guard removes the files, and the AppMaster tells the driver.
      ActorJvm.kill();
    }
  }
}

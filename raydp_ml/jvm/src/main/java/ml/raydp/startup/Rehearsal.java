package ml.raydp.startup;

import io.ray.api.Ray;
import java.util.List;
import java.util.UUID;
import org.apache.spark.SecurityManager;
import org.apache.spark.SecurityManager$;
import org.apache.spark.SparkConf;
import org.apache.spark.rpc.RpcEndpoint;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import scala.Option;

/**
 * Loads the classes that Spark's JVMs need to start, for the JVM to archive them at its exit: a
 * small session that computes a little, and two ends of an authenticated connection.
 */
public final class Rehearsal {

  /** Classes of the parts that a session in one JVM does without. */
  private static final List<String> OTHERS =
      List.of(
          "org.apache.spark.deploy.SparkSubmit",
          "org.apache.spark.api.python.PythonGatewayServer",
          "org.apache.spark.api.python.PythonWorkerFactory",
          "org.apache.spark.api.python.PythonRDD",
          "org.apache.spark.sql.execution.python.MapInArrowExec",
          "org.apache.spark.executor.CoarseGrainedExecutorBackend",
          "org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend",
          "org.apache.spark.scheduler.cluster.StandaloneSchedulerBackend",
          "org.apache.spark.deploy.master.Master",
          "org.apache.spark.deploy.worker.Worker",
          "py4j.ClientServer",
          "py4j.ClientServerConnection",
          "py4j.commands.CallCommand",
          "py4j.commands.ReflectionCommand",
          "io.ray.runtime.RayNativeRuntime",
          "io.ray.runtime.runner.worker.DefaultWorker",
          "io.ray.runtime.task.NativeTaskExecutor",
          "io.ray.runtime.task.NativeTaskSubmitter",
          "io.ray.runtime.object.NativeObjectStore",
          "io.ray.runtime.context.NativeWorkerContext",
          "io.ray.runtime.gcs.GcsClient",
          "ml.raydp.cluster.AppMaster",
          "ml.raydp.cluster.ExecutorActor",
          "ml.raydp.cluster.RaySchedulerBackend",
          "ml.raydp.exchange.BlockExport",
          "ml.raydp.exchange.BlockImport");

  public static void main(String[] arguments) throws ReflectiveOperationException {
    for (String name : OTHERS) {
      Class.forName(name);
    }
    System.setProperty("ray.run-mode", "LOCAL");
    Ray.init();
    Ray.shutdown();
    SparkConf conf =
        new SparkConf()
            .setMaster("local[2]")
            .setAppName("rehearsal")
            .set("spark.local.dir", arguments[0])
            .set("spark.sql.warehouse.dir", arguments[0])
            .set("spark.driver.host", "127.0.0.1")
            .set("spark.driver.bindAddress", "127.0.0.1")
            .set("spark.ui.port", "0")
            .set("spark.authenticate", "true")
            .set("spark.authenticate.secret", UUID.randomUUID().toString())
            .set("spark.network.crypto.enabled", "true")
            .set("spark.sql.shuffle.partitions", "2");
    connect(conf);
    SparkSession spark = SparkSession.builder().config(conf).getOrCreate();
    Dataset<Row> rows =
        spark.range(0, 1000, 1, 2).selectExpr("id", "id % 7 as k", "cast(id as double) as x");
    rows.cache();
    rows.groupBy("k").sum("x").collectAsList();
    rows.join(rows.select("k").distinct(), "k").count();
    rows.repartition(3).count();
    spark.stop();
  }

  private static void connect(SparkConf conf) {
    SecurityManager security =
        new SecurityManager(
            conf, Option.empty(), SecurityManager$.MODULE$.$lessinit$greater$default$3());
    RpcEnv server = RpcEnv.create("server", "127.0.0.1", 0, conf, security, false);
    RpcEndpoint endpoint = () -> server;
    server.setupEndpoint("endpoint", endpoint);
    RpcEnv client = RpcEnv.create("client", "127.0.0.1", -1, conf, security, true);
    client.setupEndpointRef(server.address(), "endpoint");
    client.shutdown();
    server.shutdown();
  }

  private Rehearsal() {}
}

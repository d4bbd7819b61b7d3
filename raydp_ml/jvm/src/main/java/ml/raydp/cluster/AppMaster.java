package ml.raydp.cluster;

import io.ray.api.ActorHandle;
import io.ray.api.ObjectRef;
import io.ray.api.PlacementGroups;
import io.ray.api.Ray;
import io.ray.api.call.ActorCreator;
import io.ray.api.id.PlacementGroupId;
import io.ray.api.placementgroup.PlacementGroup;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.spark.SecurityManager;
import org.apache.spark.SecurityManager$;
import org.apache.spark.SparkConf;
import org.apache.spark.rpc.RpcAddress;
import org.apache.spark.rpc.RpcEndpointAddress;
import org.apache.spark.rpc.RpcEndpointRef;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.rpc.ThreadSafeRpcEndpoint;
import org.apache.spark.util.Utils;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Option;
import scala.PartialFunction;
import scala.jdk.javaapi.CollectionConverters;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.runtime.BoxedUnit;

/**
 * The Ray actor that owns a session's executors: starts them, replaces those that end, and ends
 * those that Spark gives back. It keeps nothing that a successor would need: the driver says how
 * many executors there shall be, and which ids are free.
 */
public final class AppMaster {

  private static final Logger log = LoggerFactory.getLogger(AppMaster.class);
  private static final long POLL_MS = 50;

  private static final class Executor {
    final String id;
    final ActorHandle<ExecutorActor> actor;
    final ObjectRef<String> placed;
    final int bundle;
    ObjectRef<String> ended; // null until it runs

    Executor(String id, ActorHandle<ExecutorActor> actor, int bundle) {
      this.id = id;
      this.actor = actor;
      this.bundle = bundle;
      placed = actor.task(ExecutorActor::place).remote();
    }
  }

  /** Only the watching thread touches what follows; others hand it work through this queue. */
  private final BlockingQueue<Runnable> work = new LinkedBlockingQueue<>();

  private final Map<String, Executor> executors = new LinkedHashMap<>();
  private final BitSet takenBundles = new BitSet();
  private int target;
  private Settings settings;
  private RpcEndpointRef driver;
  private PlacementGroup group;

  /** Starts the JVMs of the first executors, while there is no driver yet for them to serve. */
  public String prepare(String text, int number) throws IOException {
    begin(text);
    for (int id = 0; id < number; id++) {
      create(String.valueOf(id));
    }
    return "";
  }

  /** Connects to the driver and begins to watch; returns when both work, or ends this JVM. */
  public String serve(String text) {
    try {
      connect(text);
    } catch (Throwable error) {
      log.error("The AppMaster cannot serve its driver.", error);
      ActorJvm.kill();
    }
    Thread thread = new Thread(this::watch, "raydp_ml-watch");
    thread.setDaemon(true);
    thread.start();
    return "";
  }

  private void connect(String text) throws IOException {
    if (settings == null) {
      begin(text);
    }
    settings = Settings.parse(text);
    SparkConf conf = settings.sparkConf();
    SecurityManager security =
        new SecurityManager(
            conf, Option.empty(), SecurityManager$.MODULE$.$lessinit$greater$default$3());
    String host = System.getProperty("ray.node-ip");
    RpcEnv rpcEnv = RpcEnv.create("AppMaster", host, -1, conf, security, true);
    RpcAddress address = RpcEndpointAddress.apply(settings.get(Settings.DRIVER_URL)).rpcAddress();
    driver = rpcEnv.setupEndpointRef(address, RaySchedulerBackend.ENDPOINT);
    RpcEndpointRef self = rpcEnv.setupEndpoint("AppMaster", new Orders(rpcEnv));
    target = ask(new Messages.Register(self), Integer.class);
  }

  private void begin(String text) throws IOException {
    Logging.apply();
    GuardedFolder.create();
    settings = Settings.parse(text);
    group = placementGroup(settings.get(Settings.PLACEMENT_GROUP));
  }

  private static PlacementGroup placementGroup(String hexId) {
    if (hexId.isEmpty()) {
      return null;
    }
    return PlacementGroups.getPlacementGroup(groupId(hexId));
  }

  static PlacementGroupId groupId(String hexId) {
    return PlacementGroupId.fromByteBuffer(ByteBuffer.wrap(HexFormat.of().parseHex(hexId)));
  }

  private <T> T ask(Object message, Class<T> type) {
    ClassTag<T> tag = ClassTag$.MODULE$.apply(type);
    return driver.askSync(message, tag);
  }

  private void watch() {
    try {
      while (true) {
        Runnable next = work.poll(POLL_MS, TimeUnit.MILLISECONDS);
        if (next != null) {
          next.run();
        }
        runPlaced();
        reap();
        cancelSurplus();
        while (executors.size() < target) {
          create(ask(new Messages.NextExecutorId(), String.class));
        }
      }
    } catch (Throwable error) {
      // Without its watch this actor is of no use; the driver replaces it.
      log.error("The AppMaster fails.", error);
      ActorJvm.kill();
    }
  }

  private Executor create(String id) {
    List<String> options = JavaOptions.of(settings, "executor-" + id);
    String users =
        Utils.substituteAppNExecIds(
            settings.get(Settings.JAVA_OPTIONS), settings.get(Settings.APP_ID), id);
    options.addAll(CollectionConverters.asJava(Utils.splitCommandString(users)));
    ActorCreator<ExecutorActor> creator =
        Ray.actor(ExecutorActor::new).setJvmOptions(options).setResources(resources());
    int bundle = -1;
    if (group != null && takenBundles.nextClearBit(0) < settings.getInt(Settings.BUNDLES)) {
      bundle = takenBundles.nextClearBit(0);
      takenBundles.set(bundle);
      creator.setPlacementGroup(group, bundle);
    }
    Executor executor = new Executor(id, creator.remote(), bundle);
    executors.put(id, executor);
    return executor;
  }

  /** Runs the executors that have a place, and so a key to seal the secret with. */
  private void runPlaced() {
    for (Executor executor : executors.values()) {
      if (executor.ended == null && isReady(executor.placed)) {
        executor.ended = executor.placed; // of one whose JVM ended before, which `reap` finds
        try {
          String text = settings.forExecutor(executor.id).text();
          String sealed = Sealed.seal(text, executor.placed.get());
          executor.ended = executor.actor.task(ExecutorActor::run, sealed).remote();
        } catch (RuntimeException error) {
          log.warn("Executor {} did not start", executor.id, error);
        }
      }
    }
  }

  private static boolean isReady(ObjectRef<String> answer) {
    return !Ray.wait(List.of(answer), 1, 0).getReady().isEmpty();
  }

  /** Amounts as text: {@code CPU=1.0,memory=1073741824.0}. */
  private Map<String, Double> resources() {
    Map<String, Double> amounts = new LinkedHashMap<>();
    for (String part : settings.get(Settings.RESOURCES).split(",")) {
      int at = part.lastIndexOf('=');
      if (at > 0) {
        amounts.put(part.substring(0, at), Double.valueOf(part.substring(at + 1)));
      }
    }
    return amounts;
  }

  /** Finds the executors that have ended by themselves, and tells the driver why. */
  private void reap() {
    List<ObjectRef<String>> running = new ArrayList<>();
    for (Executor executor : executors.values()) {
      if (executor.ended != null) {
        running.add(executor.ended);
      }
    }
    if (running.isEmpty()) {
      return;
    }
    // Not to wait: a thread in Ray's native wait can crash a JVM that exits.
    List<ObjectRef<String>> ended = Ray.wait(running, running.size(), 0).getReady();
    for (Executor executor : List.copyOf(executors.values())) {
      if (executor.ended != null && ended.contains(executor.ended)) {
        String reason = reason(executor.ended);
        log.warn("Executor {} has ended: {}", executor.id, reason);
        end(executor); // the actor itself lives on where only its method has ended
        driver.send(new Messages.Lost(executor.id, reason));
      }
    }
  }

  private static String reason(ObjectRef<String> ended) {
    try {
      return ended.get();
    } catch (RuntimeException error) {
      Throwable cause = error;
      while (cause.getCause() != null) {
        cause = cause.getCause();
      }
      return String.valueOf(cause.getMessage()).strip();
    }
  }

  /** Gives up executors that Ray has not placed yet and that are no longer wanted. */
  private void cancelSurplus() {
    Iterator<Executor> candidates = List.copyOf(executors.values()).iterator();
    while (executors.size() > target && candidates.hasNext()) {
      Executor executor = candidates.next();
      if (!isReady(executor.placed)) {
        end(executor);
      }
    }
  }

  private void end(Executor executor) {
    executor.actor.kill();
    forget(executor);
  }

  private void forget(Executor executor) {
    executors.remove(executor.id);
    if (executor.bundle >= 0) {
      takenBundles.clear(executor.bundle);
    }
  }

  /** What the driver sends. */
  private final class Orders implements ThreadSafeRpcEndpoint {

    private final RpcEnv rpcEnv;

    Orders(RpcEnv rpcEnv) {
      this.rpcEnv = rpcEnv;
    }

    @Override
    public RpcEnv rpcEnv() {
      return rpcEnv;
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receive() {
      return new Handler(
          message -> {
            if (message instanceof Messages.KeepExecutors keep) {
              work.add(() -> target = keep.number());
            } else if (message instanceof Messages.Kill kill) {
              work.add(() -> endAll(kill.executorIds().split(",")));
            } else {
              return false;
            }
            return true;
          });
    }

    private void endAll(String[] ids) {
      for (String id : ids) {
        Executor executor = executors.get(id);
        if (executor != null) {
          end(executor);
        }
      }
    }

    @Override
    public void onDisconnected(RpcAddress address) {
      if (address.equals(driver.address())) {
        ActorJvm.kill();
      }
    }
  }
}

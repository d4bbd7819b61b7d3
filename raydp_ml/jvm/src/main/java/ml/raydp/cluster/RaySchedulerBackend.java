package ml.raydp.cluster;

import io.ray.api.ActorHandle;
import io.ray.api.PlacementGroups;
import io.ray.api.Ray;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkException;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.rpc.RpcAddress;
import org.apache.spark.rpc.RpcCallContext;
import org.apache.spark.rpc.RpcEndpointAddress;
import org.apache.spark.rpc.RpcEndpointRef;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.rpc.ThreadSafeRpcEndpoint;
import org.apache.spark.scheduler.ExecutorProcessLost;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorAdded;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.TaskSchedulerImpl;
import org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend;
import org.apache.spark.scheduler.cluster.SchedulerBackendUtils;
import org.apache.spark.util.ShutdownHookManager;
import scala.Option;
import scala.PartialFunction;
import scala.collection.immutable.Map$;
import scala.concurrent.Future;
import scala.jdk.javaapi.CollectionConverters;
import scala.runtime.BoxedUnit;

/**
 * The driver's side: how many executors there shall be, and an AppMaster that sees to it.
 *
 * <p>The driver JVM calls Ray only to start an AppMaster. All else goes over Spark's RPC, because a
 * thread that is inside Ray's native code when a JVM exits crashes it.
 */
public final class RaySchedulerBackend extends CoarseGrainedSchedulerBackend {

  static final String ENDPOINT = "RayAppMasterLink";

  /** Of AppMasters that follow one that has died, within an hour: a session may live for weeks. */
  private static final int MOST_REPLACEMENTS = 3;

  private static final long REPLACEMENTS_COUNT_SECONDS = 3600;

  private static final int MOST_FAILURES = 5;
  private static final long REPLACEMENT_SECONDS = 60;

  private final SparkContext context;
  private final TaskSchedulerImpl scheduler;
  private final AtomicInteger nextExecutorId; // the first ids went to RayDriver.begin
  private final Map<String, String> nodes = new ConcurrentHashMap<>();
  private final Set<String> everRegistered = ConcurrentHashMap.newKeySet();
  private final AtomicInteger failures = new AtomicInteger(); // starts that failed, in a row
  /**
   * Guards the fields below it. Spark holds locks of its own when it calls, so nothing that may
   * wait or call back is called under this one.
   */
  private final Object lock = new Object();

  private int target;
  private int replacements;
  private final Deque<Long> deaths = new ArrayDeque<>(); // when, as System.nanoTime()
  private RpcEndpointRef master;
  private RpcAddress masterAddress;
  private volatile ActorHandle<AppMaster> masterActor; // Ray ends an actor to which no handle is left
  private volatile boolean stopping;
  private volatile String failure;

  RaySchedulerBackend(TaskSchedulerImpl scheduler, SparkContext context) {
    super(scheduler, context.env().rpcEnv());
    this.scheduler = scheduler;
    this.context = context;
    nextExecutorId = new AtomicInteger(initialExecutors(conf()));
  }

  static int initialExecutors(SparkConf conf) {
    return SchedulerBackendUtils.getInitialTargetExecutorNumber(conf, 1);
  }

  /** What an AppMaster needs to start the JVMs of executors, before there is a driver to serve. */
  static Settings settings(SparkConf conf) {
    Settings settings = Settings.toReachDriver(conf);
    for (String key : Settings.OF_APP_MASTER) {
      settings.with(key, conf.get(key, ""));
    }
    return settings.with(
        Settings.JAVA_OPTIONS,
        String.join(
            " ",
            "-Xmx" + conf.get("spark.executor.memory"),
            conf.get("spark.executor.defaultJavaOptions", ""),
            conf.get("spark.executor.extraJavaOptions", "")));
  }

  /** Ray node id of each registered executor, one per line: {@code executorId nodeId}. */
  public String executorNodes() {
    List<String> lines = new ArrayList<>();
    nodes.forEach((id, node) -> lines.add(id + " " + node));
    return String.join("\n", lines);
  }

  /** Why this backend has given up, or null. */
  public String failure() {
    return failure;
  }

  @Override
  public String applicationId() {
    return conf().get(Settings.APP_ID);
  }

  @Override
  public void start() {
    super.start();
    // Through the front door, so that Spark counts later requests from this number.
    requestTotalExecutors(
        forDefaultProfile(initialExecutors(conf())),
        forDefaultProfile(0),
        forDefaultProfile(Map$.MODULE$.empty()));
    context.addSparkListener(new Registrations());
    rpcEnv().setupEndpoint(ENDPOINT, new Link());
    try {
      masterActor = RayDriver.firstMaster();
    } catch (SparkException error) {
      throw new IllegalStateException(error.getMessage(), error);
    }
    serve();
  }

  @SuppressWarnings("unchecked") // to Java, Scala's updated returns a raw type
  private static <V> scala.collection.immutable.Map<Object, V> forDefaultProfile(Object value) {
    V typed = (V) value;
    return Map$.MODULE$.<Object, V>empty()
        .updated(ResourceProfile.DEFAULT_RESOURCE_PROFILE_ID(), typed);
  }

  /** Tells the AppMaster, whose JVM may still be starting, whom to serve. */
  private void serve() {
    String url =
        new RpcEndpointAddress(
                conf().get("spark.driver.host"),
                Integer.parseInt(conf().get("spark.driver.port")),
                CoarseGrainedSchedulerBackend.ENDPOINT_NAME())
            .toString();
    masterActor
        .task(AppMaster::serve, settings(conf()).with(Settings.DRIVER_URL, url).text())
        .remote();
  }

  @Override
  public boolean sufficientResourcesRegistered() {
    return totalRegisteredExecutors().get() >= target * minRegisteredRatio();
  }

  @Override
  public Future<Object> doRequestTotalExecutors(
      scala.collection.immutable.Map<ResourceProfile, Object> totals) {
    int sum = 0;
    for (Object total : CollectionConverters.asJava(totals).values()) {
      sum += (Integer) total;
    }
    keep(sum);
    return Future.successful(true);
  }

  private void keep(int number) {
    synchronized (lock) {
      target = number;
      if (master != null) {
        master.send(new Messages.KeepExecutors(number));
      }
    }
  }

  @Override
  public Future<Object> doKillExecutors(scala.collection.immutable.Seq<String> executorIds) {
    synchronized (lock) {
      if (master != null) { // else they have ended with it
        master.send(new Messages.Kill(executorIds.mkString(",")));
      }
    }
    return Future.successful(true);
  }

  @Override
  public void stop() {
    stopping = true;
    keep(0); // or the AppMaster would replace the executors that Spark ends now
    try {
      super.stop();
      releaseGroup();
    } finally {
      Ray.shutdown();
      synchronized (lock) {
        lock.notifyAll();
      }
    }
  }

  /** Python made the group, and may not know that Spark has stopped. */
  private void releaseGroup() {
    String id = conf().get(Settings.PLACEMENT_GROUP, "");
    if (!id.isEmpty() && Ray.isInitialized()) {
      PlacementGroups.removePlacementGroup(AppMaster.groupId(id));
    }
  }

  private int register(RpcEndpointRef newMaster, RpcAddress address) {
    synchronized (lock) {
      master = newMaster;
      masterAddress = address;
      lock.notifyAll();
      return target;
    }
  }

  private void onLost(String executorId, String reason) {
    removeExecutor(executorId, new ExecutorProcessLost(reason, Option.empty(), true));
    if (!everRegistered.contains(executorId)
        && failures.incrementAndGet() >= MOST_FAILURES
        && totalRegisteredExecutors().get() == 0) {
      giveUp(failures + " executors in a row ended before they registered. The last: " + reason);
    }
  }

  /** Runs in a thread of its own. Ray has ended the executors with the AppMaster that died. */
  private void replaceMaster() {
    String problem;
    try {
      problem = tryToReplaceMaster();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      return;
    } catch (RuntimeException error) {
      problem = "The AppMaster died, and Ray starts no other: " + error;
    }
    if (problem != null) {
      giveUp(problem);
    }
  }

  private String tryToReplaceMaster() throws InterruptedException {
    long now = System.nanoTime();
    long end = now + TimeUnit.SECONDS.toNanos(REPLACEMENT_SECONDS);
    int number;
    int died;
    synchronized (lock) {
      master = null;
      masterAddress = null;
      number = ++replacements;
      deaths.add(now);
      deaths.removeIf(
          then -> now - then > TimeUnit.SECONDS.toNanos(REPLACEMENTS_COUNT_SECONDS));
      died = deaths.size();
    }
    if (stopping || ShutdownHookManager.inShutdown()) {
      return null;
    }
    if (died > MOST_REPLACEMENTS) {
      return "The AppMaster has died " + died + " times within an hour.";
    }
    masterActor = RayDriver.startMaster(settings(conf()), "appmaster-" + number);
    serve();
    synchronized (lock) {
      while (master == null && !stopping) {
        long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
        if (left <= 0) {
          return "The AppMaster died, and no other started in " + REPLACEMENT_SECONDS + " s.";
        }
        lock.wait(left);
      }
    }
    return null;
  }

  private void giveUp(String reason) {
    if (stopping || failure != null) {
      return;
    }
    failure = reason;
    log().error("The session ends: " + reason);
    try {
      scheduler.error(reason);
    } catch (Exception error) { // it throws the reason itself where no job runs that could fail
      if (!(error instanceof SparkException)) {
        throw error;
      }
    } finally {
      context.stopInNewThread();
    }
  }

  /** The end of the line to the AppMaster. */
  private final class Link implements ThreadSafeRpcEndpoint {

    @Override
    public RpcEnv rpcEnv() {
      return RaySchedulerBackend.this.rpcEnv();
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receive() {
      return new Handler(
          message -> {
            if (message instanceof Messages.Lost lost) {
              onLost(lost.executorId(), lost.reason());
              return true;
            }
            return false;
          });
    }

    @Override
    public PartialFunction<Object, BoxedUnit> receiveAndReply(RpcCallContext call) {
      return new Handler(
          message -> {
            if (message instanceof Messages.Register registered) {
              call.reply(register(registered.master(), call.senderAddress()));
              return true;
            }
            if (message instanceof Messages.NextExecutorId) {
              call.reply(String.valueOf(nextExecutorId.getAndIncrement()));
              return true;
            }
            return false;
          });
    }

    @Override
    public void onDisconnected(RpcAddress address) {
      boolean ofMaster;
      synchronized (lock) {
        ofMaster = address.equals(masterAddress);
      }
      if (!stopping && ofMaster) {
        Thread thread = new Thread(RaySchedulerBackend.this::replaceMaster, "raydp_ml-replace");
        thread.setDaemon(true);
        thread.start();
      }
    }
  }

  private final class Registrations extends SparkListener {

    @Override
    public void onExecutorAdded(SparkListenerExecutorAdded event) {
      everRegistered.add(event.executorId());
      failures.set(0);
      Option<String> node = event.executorInfo().attributes().get(ExecutorActor.NODE_ID);
      nodes.put(event.executorId(), node.isDefined() ? node.get() : "");
    }

    @Override
    public void onExecutorRemoved(SparkListenerExecutorRemoved event) {
      nodes.remove(event.executorId());
    }
  }
}

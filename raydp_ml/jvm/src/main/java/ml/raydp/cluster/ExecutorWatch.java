package ml.raydp.cluster;

import java.util.concurrent.TimeUnit;
import org.apache.spark.SparkContext;

/** Ends jobs that wait too long for an executor where there is none: Spark would wait for ever. */
public final class ExecutorWatch implements Runnable {

  private static final long LOOK_MILLIS = 500;

  private final SparkContext context;
  private final double seconds;

  private ExecutorWatch(SparkContext context, double seconds) {
    this.context = context;
    this.seconds = seconds;
  }

  /** Watches a context until it stops; a job may wait for `seconds`. */
  public static void begin(SparkContext context, double seconds) {
    Thread thread = new Thread(new ExecutorWatch(context, seconds), "raydp_ml-watch");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void run() {
    long begun = System.nanoTime(); // of the wait, if there is one
    try {
      while (!context.isStopped()) {
        Thread.sleep(LOOK_MILLIS);
        int[] jobs = context.statusTracker().getActiveJobIds();
        // The driver is one of those that have memory.
        if (jobs.length == 0 || context.getExecutorMemoryStatus().size() > 1) {
          begun = System.nanoTime();
        } else if (System.nanoTime() - begun > seconds * TimeUnit.SECONDS.toNanos(1)) {
          for (int job : jobs) {
            context.cancelJob(job, reason());
          }
          begun = System.nanoTime();
        }
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    } catch (IllegalStateException error) { // it has stopped between two calls
      return;
    }
  }

  private String reason() {
    return String.format(
        "All executors of the session are lost, and none took their place within timeout=%.0f "
            + "seconds. Give them room in the Ray cluster and run the job again, or call "
            + "raydp_ml.stop_spark() and init_spark(...).",
        seconds);
  }
}

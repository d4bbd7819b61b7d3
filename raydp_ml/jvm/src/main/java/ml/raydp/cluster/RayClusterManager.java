package ml.raydp.cluster;

import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.ExternalClusterManager;
import org.apache.spark.scheduler.SchedulerBackend;
import org.apache.spark.scheduler.TaskScheduler;
import org.apache.spark.scheduler.TaskSchedulerImpl;

/**
 * Makes {@code spark.master=spark-ray} mean executors in Ray actors. Spark finds it as a service;
 * the master's name begins with "spark" because spark-submit refuses others that it does not know.
 */
public final class RayClusterManager implements ExternalClusterManager {

  static final String MASTER = "spark-ray";

  @Override
  public boolean canCreate(String masterUrl) {
    return masterUrl.equals(MASTER);
  }

  @Override
  public TaskScheduler createTaskScheduler(SparkContext context, String masterUrl) {
    return new TaskSchedulerImpl(context);
  }

  @Override
  public SchedulerBackend createSchedulerBackend(
      SparkContext context, String masterUrl, TaskScheduler scheduler) {
    return new RaySchedulerBackend((TaskSchedulerImpl) scheduler, context);
  }

  @Override
  public void initialize(TaskScheduler scheduler, SchedulerBackend backend) {
    ((TaskSchedulerImpl) scheduler).initialize(backend);
  }
}

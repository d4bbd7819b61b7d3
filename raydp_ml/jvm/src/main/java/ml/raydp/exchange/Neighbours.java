package ml.raydp.exchange;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.apache.spark.Partition;
import org.apache.spark.SparkContext;
import org.apache.spark.rdd.PartitionCoalescer;
import org.apache.spark.rdd.PartitionGroup;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.execution.ExternalRDDScanExec;
import org.apache.spark.sql.execution.ObjectConsumerExec;
import org.apache.spark.sql.execution.ObjectProducerExec;
import org.apache.spark.sql.execution.RDDScanExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.adaptive.AdaptiveSparkPlanExec;
import org.apache.spark.sql.execution.adaptive.QueryStageExec;
import org.apache.spark.sql.execution.adaptive.TableCacheQueryStageExec;
import org.apache.spark.sql.execution.columnar.InMemoryTableScanExec;
import org.apache.spark.sql.execution.exchange.Exchange;
import scala.Option;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Puts neighbouring partitions into one task, in their order: a task costs milliseconds, whatever
 * little it has to do, and a shuffle leaves 200 partitions or more.
 */
public final class Neighbours implements PartitionCoalescer, Serializable {
  private static final long serialVersionUID = 1;

  /** So many tasks are left for each core that none waits long for the last. */
  private static final int TASKS_PER_CORE = 4;

  /** A task that fails begins again with its first partition. */
  private static final int MOST = 64;

  private Neighbours() {}

  /** Groups the partitions of {@code rdd}, of a plan, where its cluster needs fewer tasks. */
  public static <T> RDD<T> grouped(RDD<T> rdd, SparkPlan plan, SparkContext context) {
    int tasks = TASKS_PER_CORE * context.defaultParallelism();
    if (rdd.getNumPartitions() <= tasks || rdd.isBarrier() || mayAskForTask(plan)) {
      return rdd;
    }
    return rdd.coalesce(tasks, false, Option.apply(new Neighbours()), null);
  }

  /**
   * Whether the tasks run code of the user's own, in Python, over objects or in an RDD. It may ask
   * for the number of its task, for a seed as a rule, and has to get that of its partition.
   */
  private static boolean mayAskForTask(SparkPlan plan) {
    if (plan instanceof AdaptiveSparkPlanExec adaptive) {
      return mayAskForTask(adaptive.executedPlan());
    }
    if (plan instanceof TableCacheQueryStageExec stage) {
      return mayAskForTask(stage.plan());
    }
    if (plan instanceof InMemoryTableScanExec scan) {
      return mayAskForTask(scan.relation().cachedPlan()); // it may be computed now
    }
    if (plan instanceof Exchange || plan instanceof QueryStageExec) {
      return false; // has tasks of its own
    }
    boolean own =
        plan.getClass().getName().startsWith("org.apache.spark.sql.execution.python.")
            || plan instanceof ObjectConsumerExec
            || plan instanceof ObjectProducerExec
            || plan instanceof RDDScanExec
            || plan instanceof ExternalRDDScanExec;
    return own
        || CollectionConverters.asJava(plan.children()).stream().anyMatch(Neighbours::mayAskForTask);
  }

  @Override
  public PartitionGroup[] coalesce(int tasks, RDD<?> rdd) {
    Partition[] partitions = rdd.partitions();
    int most = Math.min(MOST, (partitions.length + tasks - 1) / tasks);
    List<PartitionGroup> groups = new ArrayList<>();
    PartitionGroup group = null;
    for (Partition partition : partitions) {
      Option<String> place = place(rdd, partition);
      // One that a cache holds elsewhere would have to come over the network.
      if (group == null || group.numPartitions() == most || !group.prefLoc().equals(place)) {
        group = new PartitionGroup(place);
        groups.add(group);
      }
      group.partitions().addOne(partition);
    }
    return groups.toArray(new PartitionGroup[0]);
  }

  private static Option<String> place(RDD<?> rdd, Partition partition) {
    if (rdd.sparkContext().isLocal()) {
      return Option.empty();
    }
    var places = rdd.sparkContext().getPreferredLocs(rdd, partition.index());
    return places.isEmpty()
        ? Option.empty()
        : Option.apply(Objects.requireNonNull(places.head()).host());
  }
}

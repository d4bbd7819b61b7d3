package ml.raydp.exchange;

import org.apache.spark.SparkContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.sql.execution.QueryExecution;
import org.apache.spark.sql.execution.SQLExecution;
import org.apache.spark.sql.execution.SparkPlan;
import scala.Option;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** Spark to Arrow blocks; an instance is called from Python through py4j. */
public final class BlockExport {
  /**
   * Runs one Spark job that writes every partition of {@code data} to the block servers.
   *
   * @param endpoints the servers, see {@link Endpoint}
   * @param tag a Spark job tag, so that the caller can cancel the job
   * @param useColumns whether column batches may be read as such (false only in measurements)
   * @return per task {@code partition,attempt,rows,endpoint} of the attempt that succeeded; tasks
   *     are in the order of the partitions that they read
   */
  public String[] run(
      Dataset<?> data,
      String endpoints,
      String secret,
      String job,
      String timeZone,
      String tag,
      boolean useColumns) {
    QueryExecution query = data.queryExecution();
    SparkContext context = data.sparkSession().sparkContext();
    context.addJobTag(tag);
    try {
      return SQLExecution.withNewExecutionId(
          query,
          Option.apply("raydp_ml.from_spark"),
          () -> {
            SparkPlan plan = Plans.runStages(query.executedPlan());
            Plans.Columnar columnar = useColumns ? Plans.columnar(plan) : null;
            var writer =
                new PartitionWriter(
                    Endpoint.parse(endpoints),
                    secret,
                    job,
                    data.schema(),
                    timeZone,
                    columnar == null ? null : columnar.columns());
            return columnar == null
                ? runJob(context, plan.execute(), plan, writer)
                : runJob(context, columnar.plan().executeColumnar(), columnar.plan(), writer);
          });
    } finally {
      context.removeJobTag(tag);
    }
  }

  @SuppressWarnings("unchecked")
  private static String[] runJob(
      SparkContext context, RDD<?> rdd, SparkPlan plan, PartitionWriter writer) {
    ClassTag<String> tag = ClassTag$.MODULE$.apply(String.class);
    RDD<Object> grouped = Neighbours.grouped((RDD<Object>) rdd, plan, context);
    return (String[]) context.runJob(grouped, writer, tag);
  }
}

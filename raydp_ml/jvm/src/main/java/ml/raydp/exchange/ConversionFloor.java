package ml.raydp.exchange;

import java.io.Serializable;
import java.util.Arrays;
import ml.raydp.versions.Internals;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.TaskContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.sql.execution.QueryExecution;
import org.apache.spark.sql.execution.SQLExecution;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.ArrowUtils;
import org.apache.spark.sql.vectorized.ColumnarBatch;
import scala.Option;
import scala.collection.Iterator;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction2;

/**
 * The part of {@link BlockExport} that no transport can avoid: the conversion to Arrow, whose
 * result is thrown away. Called by the benchmarks only.
 */
public final class ConversionFloor {
  /**
   * Converts every partition of {@code data} as BlockExport does.
   *
   * @param useColumns whether column batches may be read as such
   * @return the number of rows converted
   */
  public long run(Dataset<?> data, String timeZone, boolean useColumns) {
    QueryExecution query = data.queryExecution();
    return SQLExecution.withNewExecutionId(
        query,
        Option.apply("raydp_ml.ConversionFloor"),
        () -> {
          SparkPlan plan = Plans.runStages(query.executedPlan());
          Plans.Columnar columnar = useColumns ? Plans.columnar(plan) : null;
          if (useColumns && columnar == null) {
            throw new IllegalArgumentException("The plan yields no column batches:\n" + plan);
          }
          RDD<?> input = useColumns ? columnar.plan().executeColumnar() : plan.execute();
          Task task = new Task(data.schema(), timeZone, useColumns ? columnar.columns() : null);
          return Arrays.stream(runJob(input, task)).mapToLong(Long::longValue).sum();
        });
  }

  @SuppressWarnings("unchecked")
  private static Long[] runJob(RDD<?> input, Task task) {
    ClassTag<Long> tag = ClassTag$.MODULE$.apply(Long.class);
    return (Long[]) input.sparkContext().runJob((RDD<Object>) input, task, tag);
  }

  /** Converts one partition, of rows ({@code columns} is null) or of column batches. */
  private static final class Task extends AbstractFunction2<TaskContext, Iterator<Object>, Long>
      implements Serializable {
    private final StructType schema;
    private final String timeZone;
    private final int[] columns;

    Task(StructType schema, String timeZone, int[] columns) {
      this.schema = schema;
      this.timeZone = timeZone;
      this.columns = columns;
    }

    @Override
    public Long apply(TaskContext context, Iterator<Object> input) {
      Schema arrow = Internals.arrowSchema(schema, timeZone);
      long rows = 0;
      try (BufferAllocator allocator =
              ArrowUtils.rootAllocator().newChildAllocator("raydp_ml", 0, Long.MAX_VALUE);
          ArrowBatch batch = new ArrowBatch(arrow, allocator)) {
        while (input.hasNext()) {
          rows += columns == null
              ? append(batch, (InternalRow) input.next())
              : append(batch, (ColumnarBatch) input.next());
        }
        batch.finish();
      }
      return rows;
    }

    private static int append(ArrowBatch batch, InternalRow row) {
      batch.append(row);
      restartIfFull(batch);
      return 1;
    }

    private int append(ArrowBatch batch, ColumnarBatch rows) {
      for (int from = 0; from < rows.numRows(); ) {
        from += batch.append(rows, columns, from);
        restartIfFull(batch);
      }
      return rows.numRows();
    }

    private static void restartIfFull(ArrowBatch batch) {
      if (batch.isFull()) {
        batch.finish();
        batch.reset();
      }
    }
  }
}

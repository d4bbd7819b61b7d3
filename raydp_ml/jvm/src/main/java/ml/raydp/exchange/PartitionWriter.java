package ml.raydp.exchange;

import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.vectorized.ColumnarBatch;
import scala.collection.Iterator;
import scala.runtime.AbstractFunction2;

/**
 * The task: writes one partition, of rows or of column batches, and reports {@code
 * partition,attempt,rows,endpoint}.
 */
final class PartitionWriter extends AbstractFunction2<TaskContext, Iterator<Object>, String>
    implements Serializable {
  private final List<Endpoint> endpoints;
  private final String secret;
  private final String job;
  private final StructType schema;
  private final String timeZone;
  private final int[] columns;

  /** {@code columns}: for column batches, where each field of the schema is; null for rows. */
  PartitionWriter(
      List<Endpoint> endpoints,
      String secret,
      String job,
      StructType schema,
      String timeZone,
      int[] columns) {
    this.endpoints = endpoints;
    this.secret = secret;
    this.job = job;
    this.schema = schema;
    this.timeZone = timeZone;
    this.columns = columns;
  }

  @Override
  public String apply(TaskContext task, Iterator<Object> input) {
    Endpoint endpoint = Endpoint.nearest(endpoints);
    String partition = task.partitionId() + "," + task.taskAttemptId();
    String request = secret + " PUT " + job + " " + task.partitionId() + " " + task.taskAttemptId();
    try (ArrowSink sink = new ArrowSink(endpoint, request, schema, timeZone)) {
      while (input.hasNext()) {
        // A killed task must stop here: its rows will come from another attempt.
        task.killTaskIfInterrupted();
        if (columns == null) {
          writeRows(input, sink);
        } else {
          sink.write((ColumnarBatch) input.next(), columns);
        }
      }
      return partition + "," + sink.finish() + "," + endpoint.index();
    } catch (IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
  }

  private static void writeRows(Iterator<Object> input, ArrowSink sink) throws IOException {
    for (int i = 0; i < 4096 && input.hasNext(); i++) {
      sink.write((InternalRow) input.next());
    }
  }
}

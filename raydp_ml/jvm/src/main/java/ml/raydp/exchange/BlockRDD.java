package ml.raydp.exchange;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import org.apache.spark.Partition;
import org.apache.spark.SparkContext;
import org.apache.spark.TaskContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.util.ArrowUtils;
import org.apache.spark.sql.vectorized.ArrowColumnVector;
import org.apache.spark.sql.vectorized.ColumnVector;
import org.apache.spark.sql.vectorized.ColumnarBatch;
import org.apache.spark.util.TaskCompletionListener;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Nil$;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;
import scala.reflect.ClassTag$;

/** Rows read from Arrow streams that block servers send; a retried task asks again. */
final class BlockRDD extends RDD<InternalRow> {
  private final List<Endpoint> endpoints;
  private final String secret;
  private final String table;
  private final transient int[][] parts;

  /** One part of the table and the server that holds it. */
  record Part(int index, int endpoint, int part) implements Partition {}

  @SuppressWarnings({"unchecked", "rawtypes"})
  BlockRDD(
      SparkContext context,
      List<Endpoint> endpoints,
      String secret,
      String table,
      int[][] parts) {
    super(context, (Seq) Nil$.MODULE$, ClassTag$.MODULE$.apply(InternalRow.class));
    this.endpoints = endpoints;
    this.secret = secret;
    this.table = table;
    this.parts = parts;
  }

  @Override
  public Partition[] getPartitions() {
    Partition[] partitions = new Partition[parts.length];
    for (int i = 0; i < partitions.length; i++) {
      partitions[i] = new Part(i, parts[i][0], parts[i][1]);
    }
    return partitions;
  }

  @Override
  public Seq<String> getPreferredLocations(Partition split) {
    return CollectionConverters.asScala(List.of(endpoints.get(((Part) split).endpoint).host()))
        .toSeq();
  }

  @Override
  public Iterator<InternalRow> compute(Partition split, TaskContext task) {
    Part part = (Part) split;
    try {
      return new Rows(endpoints.get(part.endpoint), secret + " GET " + table + " " + part.part, task);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** The rows of one stream; each is valid until the next is asked for, as Spark's own are. */
  private static final class Rows extends AbstractIterator<InternalRow> {
    private final ArrowStreamReader reader;
    private final ColumnVector[] columns;
    private final VectorSchemaRoot root;
    private final long awaited;
    private long read;
    private java.util.Iterator<InternalRow> rows = java.util.Collections.emptyIterator();

    Rows(Endpoint endpoint, String request, TaskContext task) throws IOException {
      Connection channel = endpoint.request(request);
      BufferAllocator allocator =
          ArrowUtils.rootAllocator().newChildAllocator("raydp_ml", 0, Long.MAX_VALUE);
      reader = new ArrowStreamReader(channel, allocator);
      // A listener, and not the end of the stream: Spark may stop reading early (limit).
      task.addTaskCompletionListener(
          (TaskCompletionListener)
              done -> {
                try {
                  reader.close();
                  channel.close();
                } catch (IOException error) {
                  throw new UncheckedIOException(error);
                } finally {
                  allocator.close();
                }
              });
      channel.expectOk();
      awaited = channel.readLong();
      root = reader.getVectorSchemaRoot();
      columns = new ColumnVector[root.getFieldVectors().size()];
    }

    @Override
    public boolean hasNext() {
      try {
        while (!rows.hasNext()) {
          if (!reader.loadNextBatch()) {
            if (read < awaited) { // a stream that breaks off between two batches looks whole
              throw new IOException("The block server has ended in the middle of its answer.");
            }
            return false;
          }
          read += root.getRowCount();
          for (int i = 0; i < columns.length; i++) {
            FieldVector vector = root.getVector(i);
            columns[i] = new ArrowColumnVector(vector);
          }
          rows = new ColumnarBatch(columns, root.getRowCount()).rowIterator();
        }
        return true;
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    @Override
    public InternalRow next() {
      if (!hasNext()) {
        throw new java.util.NoSuchElementException();
      }
      return rows.next();
    }
  }
}

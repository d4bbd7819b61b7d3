package ml.raydp.exchange;

import java.io.IOException;
import ml.raydp.versions.Internals;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.ArrowStreamWriter;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.ArrowUtils;
import org.apache.spark.sql.vectorized.ColumnarBatch;

/** Streams the rows of one task attempt to a block server; nothing is sent before the first row. */
final class ArrowSink implements AutoCloseable {
  private final Endpoint endpoint;
  private final String request;
  private final BufferAllocator allocator;
  private final ArrowBatch batch;
  private Connection channel;
  private ArrowStreamWriter stream;
  private long rows;

  ArrowSink(Endpoint endpoint, String request, StructType schema, String timeZone) {
    this.endpoint = endpoint;
    this.request = request;
    allocator = ArrowUtils.rootAllocator().newChildAllocator("raydp_ml", 0, Long.MAX_VALUE);
    Schema arrow = Internals.arrowSchema(schema, timeZone);
    batch = new ArrowBatch(arrow, allocator);
  }

  void write(InternalRow row) throws IOException {
    batch.append(row);
    if (batch.isFull()) {
      flush();
    }
  }

  void write(ColumnarBatch columns, int[] indices) throws IOException {
    for (int from = 0; from < columns.numRows(); ) {
      from += batch.append(columns, indices, from);
      if (batch.isFull()) {
        flush();
      }
    }
  }

  private void flush() throws IOException {
    if (stream == null) {
      channel = endpoint.request(request);
      stream = new ArrowStreamWriter(batch.root, null, channel);
      stream.start();
    }
    rows += batch.rows();
    batch.finish();
    stream.writeBatch();
    batch.reset();
  }

  /**
   * Ends the stream and waits until the server has stored it.
   *
   * @return the number of rows that the server holds
   */
  long finish() throws IOException {
    if (batch.rows() > 0) {
      flush();
    }
    if (stream == null) {
      return 0;
    }
    stream.end();
    channel.expectOk();
    long stored = channel.readLong();
    if (stored != rows) {
      throw new IOException("The block server stored " + stored + " of " + rows + " rows.");
    }
    return rows;
  }

  @Override
  public void close() throws IOException {
    batch.close();
    allocator.close();
    if (channel != null) {
      channel.close();
    }
  }
}

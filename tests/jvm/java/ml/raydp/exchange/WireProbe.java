package ml.raydp.exchange;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import ml.raydp.versions.Internals;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.ArrowStreamWriter;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.ArrowUtils;
import org.apache.spark.unsafe.types.UTF8String;

/** Calls what the package keeps to itself, for the tests in Python. */
public final class WireProbe {
  /**
   * Returns an Arrow stream of rows {@code (i, i / 2, text)}, of which every third text is null, and
   * every fifth number.
   */
  public byte[] stream(int rows, int textLength) throws IOException {
    StructType schema = StructType.fromDDL("i BIGINT NOT NULL, half DOUBLE, text STRING");
    Schema arrow = Internals.arrowSchema(schema, "UTC");
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    try (BufferAllocator memory = ArrowUtils.rootAllocator().newChildAllocator("probe", 0, 1L << 30);
        ArrowBatch batch = new ArrowBatch(arrow, memory);
        ArrowStreamWriter writer = new ArrowStreamWriter(batch.root, null, made)) {
      for (int i = 0; i < rows; i++) {
        UTF8String text = UTF8String.fromString(String.valueOf(i % 10).repeat(textLength));
        batch.append(
            new GenericInternalRow(
                new Object[] {(long) i, i % 5 == 0 ? null : i / 2.0, i % 3 == 0 ? null : text}));
        if (batch.isFull() || i == rows - 1) {
          batch.finish();
          writer.writeBatch();
          batch.reset();
        }
      }
      writer.end();
    }
    return made.toByteArray();
  }

  /** Returns the texts of the endpoints that a text stands for. */
  public List<String> endpoints(String text) {
    return Endpoint.parse(text).stream().map(Endpoint::toString).toList();
  }
}

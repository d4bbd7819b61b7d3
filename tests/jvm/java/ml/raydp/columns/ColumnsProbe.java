package ml.raydp.columns;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;

/** Calls what the package keeps to itself, for the tests in Python. */
public final class ColumnsProbe {
  /**
   * Returns what {@link Moments} makes of rows in several partitions of {@code size} rows.
   *
   * @param rows big-endian doubles; NaN stands for null
   * @param width values of a row, the weight among them
   */
  public byte[] moments(byte[] rows, int width, boolean weighted, int size) {
    ByteBuffer input = ByteBuffer.wrap(rows);
    int columns = width - (weighted ? 1 : 0);
    double[] total = Moments.aggregate(List.<InternalRow>of().iterator(), columns, weighted);
    while (input.hasRemaining()) {
      List<InternalRow> part = new ArrayList<>();
      while (part.size() < size && input.hasRemaining()) {
        Object[] row = new Object[width];
        for (int i = 0; i < width; i++) {
          double value = input.getDouble();
          row[i] = value == value ? value : null;
        }
        part.add(new GenericInternalRow(row));
      }
      total = Moments.merge(total, Moments.aggregate(part.iterator(), columns, weighted));
    }
    return Doubles.packed(total);
  }

  /** Returns the big-endian keys of big-endian doubles. */
  public byte[] keys(byte[] values) {
    ByteBuffer input = ByteBuffer.wrap(values);
    ByteBuffer made = ByteBuffer.allocate(values.length);
    while (input.hasRemaining()) {
      made.putLong(OrderStatistics.key(input.getDouble()));
    }
    return made.array();
  }

  /** Returns the doubles again. */
  public byte[] values(byte[] keys) {
    ByteBuffer input = ByteBuffer.wrap(keys);
    ByteBuffer made = ByteBuffer.allocate(keys.length);
    while (input.hasRemaining()) {
      made.putDouble(OrderStatistics.value(input.getLong()));
    }
    return made.array();
  }

  /** Returns big-endian longs as they travel. */
  public byte[] packed(byte[] numbers) {
    long[] values = new long[numbers.length / Long.BYTES];
    ByteBuffer.wrap(numbers).asLongBuffer().get(values);
    return OrderStatistics.packed(values);
  }

  /** Returns the longs that travelled. */
  public byte[] unpacked(byte[] packed) {
    long[] values = OrderStatistics.unpacked(packed);
    ByteBuffer made = ByteBuffer.allocate(values.length * Long.BYTES);
    made.asLongBuffer().put(values);
    return made.array();
  }

  /** Returns the keys and then the weights of a run that was collapsed. */
  public byte[] collapsed(byte[] keysAndWeights) {
    Run run = new Run();
    run.addPacked(keysAndWeights);
    run.collapse();
    ByteBuffer made = ByteBuffer.allocate(2 * Long.BYTES * run.size);
    for (long key : run.keys()) {
      made.putLong(key);
    }
    for (double weight : run.weights()) {
      made.putDouble(weight);
    }
    return made.array();
  }
}

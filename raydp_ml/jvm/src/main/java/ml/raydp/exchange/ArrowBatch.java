package ml.raydp.exchange;

import java.util.List;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.BaseFixedWidthVector;
import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.BitVectorHelper;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.execution.arrow.ArrowFieldWriter;
import org.apache.spark.sql.execution.arrow.ArrowWriter$;
import org.apache.spark.sql.vectorized.ColumnVector;
import org.apache.spark.sql.vectorized.ColumnarBatch;
import org.apache.spark.unsafe.Platform;

/** One Arrow record batch under construction, filled from Spark's rows or column vectors. */
final class ArrowBatch implements AutoCloseable {
  private static final long TARGET_BYTES = 4L << 20;
  private static final int MAX_ROWS = 1 << 16;
  private static final int MIN_ROWS = 256;

  /** Variable-width columns are measured only this often: it costs a walk over the buffers. */
  private static final int MEASURE_EVERY = 256;

  final VectorSchemaRoot root;
  private final ArrowFieldWriter[] writers;
  private final int capacity;
  private final boolean fixedWidth;
  private int rows;
  private int measuredAt;

  ArrowBatch(Schema schema, BufferAllocator allocator) {
    root = VectorSchemaRoot.create(schema, allocator);
    List<FieldVector> vectors = root.getFieldVectors();
    writers = new ArrowFieldWriter[vectors.size()];
    long width = 1;
    boolean fixed = true;
    for (int i = 0; i < writers.length; i++) {
      FieldVector vector = vectors.get(i);
      fixed &= vector instanceof BaseFixedWidthVector;
      width += vector instanceof BaseFixedWidthVector f ? Math.max(1, f.getTypeWidth()) : 16;
      writers[i] = ArrowWriter$.MODULE$.createFieldWriter(vector);
    }
    fixedWidth = fixed;
    capacity = (int) Math.max(MIN_ROWS, Math.min(MAX_ROWS, TARGET_BYTES / width));
    allocate();
  }

  private void allocate() {
    for (FieldVector vector : root.getFieldVectors()) {
      vector.setInitialCapacity(capacity);
      vector.allocateNew();
    }
  }

  int rows() {
    return rows;
  }

  boolean isFull() {
    if (rows >= capacity) {
      return true;
    }
    if (fixedWidth || rows - measuredAt < MEASURE_EVERY) {
      return false;
    }
    measuredAt = rows;
    return bytes() >= TARGET_BYTES;
  }

  private long bytes() {
    long size = 0;
    for (ArrowFieldWriter writer : writers) {
      size += writer.getSizeInBytes();
    }
    return size;
  }

  void append(InternalRow row) {
    for (int i = 0; i < writers.length; i++) {
      writers[i].write(row, i);
    }
    rows++;
  }

  /**
   * Appends rows {@code from} .. of the columns {@code columns[i]} of a Spark batch.
   *
   * @return how many rows were taken; fewer than there are when this batch is full
   */
  int append(ColumnarBatch batch, int[] columns, int from) {
    int count = Math.min(batch.numRows() - from, capacity - rows);
    for (int i = 0; i < writers.length; i++) {
      ColumnVector column = batch.column(columns[i]);
      if (!copyWhole(column, from, count, root.getVector(i))) {
        copyEach(batch, columns[i], from, count, writers[i]);
      }
    }
    rows += count;
    return count;
  }

  /** Copies a run of values without nulls as memory; false where the type needs a conversion. */
  private boolean copyWhole(ColumnVector column, int from, int count, FieldVector vector) {
    if (column.hasNull()) {
      return false;
    }
    Object values;
    int offset;
    if (vector instanceof Float8Vector) {
      values = column.getDoubles(from, count);
      offset = Platform.DOUBLE_ARRAY_OFFSET;
    } else if (vector instanceof Float4Vector) {
      values = column.getFloats(from, count);
      offset = Platform.FLOAT_ARRAY_OFFSET;
    } else if (vector instanceof BigIntVector) {
      values = column.getLongs(from, count);
      offset = Platform.LONG_ARRAY_OFFSET;
    } else if (vector instanceof IntVector) {
      values = column.getInts(from, count);
      offset = Platform.INT_ARRAY_OFFSET;
    } else {
      return false;
    }
    BaseFixedWidthVector target = (BaseFixedWidthVector) vector;
    int width = target.getTypeWidth();
    long address = target.getDataBuffer().memoryAddress() + (long) rows * width;
    Platform.copyMemory(values, offset, null, address, (long) count * width);
    setValid(target.getValidityBuffer(), rows, rows + count);
    return true;
  }

  private static void setValid(ArrowBuf validity, int from, int to) {
    int i = from;
    while (i < to && (i & 7) != 0) {
      BitVectorHelper.setBit(validity, i++);
    }
    validity.setOne((long) (i >> 3), (long) ((to - i) >> 3));
    for (i += (to - i) & ~7; i < to; i++) {
      BitVectorHelper.setBit(validity, i);
    }
  }

  private void copyEach(
      ColumnarBatch batch, int column, int from, int count, ArrowFieldWriter writer) {
    // The writer appends at its own count, which runs of copyWhole do not move.
    writer.count_$eq(rows);
    for (int i = from; i < from + count; i++) {
      writer.write(batch.getRow(i), column);
    }
  }

  /** Makes the appended rows visible to {@link #root}. */
  VectorSchemaRoot finish() {
    for (ArrowFieldWriter writer : writers) {
      writer.count_$eq(rows);
      writer.finish();
    }
    root.setRowCount(rows);
    return root;
  }

  void reset() {
    for (ArrowFieldWriter writer : writers) {
      if (writer.valueVector() instanceof BaseFixedWidthVector) {
        // Every slot and its validity will be written again: zeroing them first is wasted.
        writer.count_$eq(0);
      } else {
        writer.reset();
      }
    }
    rows = 0;
    measuredAt = 0;
  }

  @Override
  public void close() {
    root.close();
  }
}

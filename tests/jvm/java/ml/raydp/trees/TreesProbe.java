package ml.raydp.trees;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.function.Consumer;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.util.GenericArrayData;

/** Calls what the package keeps to itself, for the tests in Python. */
public final class TreesProbe {
  private static final GenericArrayData NO_TEXTS = new GenericArrayData(new Object[0]);
  private static final Categories NONE = new Categories(ByteBuffer.allocate(Integer.BYTES));

  /** Returns big-endian floats: for each row the sums of all groups of trees. */
  public byte[] sums(byte[] packed, byte[] rows, double missing) {
    Forest forest = new Forest(ByteBuffer.wrap(packed));
    int count = rows.length / Float.BYTES / forest.features;
    ByteBuffer made = ByteBuffer.allocate(count * forest.base.length * Float.BYTES);
    each(
        rows,
        forest.features,
        missing,
        row -> {
          for (int group = 0; group < forest.base.length; group++) {
            made.putFloat(forest.sum(group, forest.base[group], row));
          }
        });
    return made.array();
  }

  /** Returns big-endian integers: for each row the leaves of all trees. */
  public byte[] leaves(byte[] packed, byte[] rows, double missing) {
    Forest forest = new Forest(ByteBuffer.wrap(packed));
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    each(
        rows,
        forest.features,
        missing,
        row -> {
          int[] leaves = forest.leaves(row);
          ByteBuffer of = ByteBuffer.allocate(leaves.length * Integer.BYTES);
          of.asIntBuffer().put(leaves);
          made.writeBytes(of.array());
        });
    return made.toByteArray();
  }

  /** Returns big-endian doubles: for each row and group what each feature adds, then the bias. */
  public byte[] explained(byte[] packed, byte[] rows, double missing) {
    ShapleyForest forest = new ShapleyForest(ByteBuffer.wrap(packed));
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    each(
        rows,
        forest.features,
        missing,
        row -> {
          for (double[] group : forest.values(row)) {
            ByteBuffer of = ByteBuffer.allocate(group.length * Double.BYTES);
            of.asDoubleBuffer().put(group);
            made.writeBytes(of.array());
          }
        });
    return made.toByteArray();
  }

  private static void each(byte[] rows, int features, double missing, Consumer<Cells> call) {
    ByteBuffer input = ByteBuffer.wrap(rows);
    float[] row = new float[features];
    while (input.hasRemaining()) {
      for (int j = 0; j < row.length; j++) {
        row[j] = input.getFloat();
      }
      UnsafeArrayData data = UnsafeArrayData.fromPrimitiveArray(row);
      call.accept(new Cells(data, NO_TEXTS, NONE, features, (float) missing));
    }
  }
}

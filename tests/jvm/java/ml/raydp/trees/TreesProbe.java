package ml.raydp.trees;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;

/** Calls what the package keeps to itself, for the tests in Python. */
public final class TreesProbe {
  /** Returns big-endian floats: for each row the sums of all groups of trees. */
  public byte[] sums(byte[] packed, byte[] rows, double missing) {
    Forest forest = new Forest(ByteBuffer.wrap(packed).asIntBuffer());
    ByteBuffer input = ByteBuffer.wrap(rows);
    int count = rows.length / Float.BYTES / forest.features;
    ByteBuffer made = ByteBuffer.allocate(count * forest.base.length * Float.BYTES);
    float[] row = new float[forest.features];
    for (int i = 0; i < count; i++) {
      for (int j = 0; j < row.length; j++) {
        row[j] = input.getFloat();
      }
      UnsafeArrayData data = UnsafeArrayData.fromPrimitiveArray(row);
      Cells cells = new Cells(data, forest.features, (float) missing);
      for (int group = 0; group < forest.base.length; group++) {
        made.putFloat(forest.sum(group, cells));
      }
    }
    return made.array();
  }

  /** Returns big-endian doubles: for each row and group what each feature adds, then the bias. */
  public byte[] explained(byte[] packed, byte[] rows, int features, double missing) {
    ShapleyForest forest = new ShapleyForest(ByteBuffer.wrap(packed));
    ByteBuffer input = ByteBuffer.wrap(rows);
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    float[] row = new float[features];
    while (input.hasRemaining()) {
      for (int j = 0; j < row.length; j++) {
        row[j] = input.getFloat();
      }
      UnsafeArrayData data = UnsafeArrayData.fromPrimitiveArray(row);
      for (double[] group : forest.values(data, (float) missing)) {
        ByteBuffer of = ByteBuffer.allocate(group.length * Double.BYTES);
        of.asDoubleBuffer().put(group);
        made.writeBytes(of.array());
      }
    }
    return made.toByteArray();
  }
}

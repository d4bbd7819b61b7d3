package ml.raydp.trees;

import org.apache.spark.sql.catalyst.util.ArrayData;

/** A row as trees read it. */
final class Cells {
  /** Of each feature the key of its value, as {@link Forest#key} makes it. */
  final int[] keys;

  /** Which are missing; null where none is. */
  final boolean[] gone;

  Cells(ArrayData row, int features, float missing) {
    keys = new int[features];
    boolean[] found = null;
    for (int i = 0; i < features; i++) {
      float value = row.isNullAt(i) ? missing : row.getFloat(i);
      if (value == missing || value != value) {
        found = found == null ? new boolean[features] : found;
        found[i] = true;
      }
      keys[i] = Forest.key(value);
    }
    gone = found;
  }
}

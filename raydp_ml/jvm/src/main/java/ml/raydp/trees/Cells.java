package ml.raydp.trees;

import org.apache.spark.sql.catalyst.util.ArrayData;

/** A row as trees read it. */
final class Cells {
  /** Of each feature the key of its value, as {@link Forest#key} makes it. */
  final int[] keys;

  /** Which are missing; null where none is. */
  final boolean[] gone;

  /**
   * Reads numbers and texts.
   *
   * @param row of each feature a number; of one with categories whatever
   * @param texts the texts of those with categories
   * @param categories what they stand for
   */
  Cells(ArrayData row, ArrayData texts, Categories categories, int features, float missing) {
    keys = new int[features];
    boolean[] found = null;
    int next = 0;
    for (int i = 0; i < features; i++) {
      float value;
      if (next < categories.count() && categories.feature(next) == i) {
        value = texts.isNullAt(next) ? Float.NaN : categories.code(next, texts.getUTF8String(next));
        next++;
      } else {
        value = row.isNullAt(i) ? missing : row.getFloat(i);
        value = value == missing ? Float.NaN : value;
      }
      if (value != value) {
        found = found == null ? new boolean[features] : found;
        found[i] = true;
      }
      keys[i] = Forest.key(value);
    }
    gone = found;
  }
}

package ml.raydp.columns;

import org.apache.spark.api.java.JavaRDD;

/** How partial results come together. */
final class Trees {
  /** So many of them the driver merges itself: a level of a tree costs a shuffle. */
  private static final int FEW = 64;

  private Trees() {}

  static int depth(JavaRDD<?> rows) {
    return rows.getNumPartitions() <= FEW ? 1 : 2;
  }
}

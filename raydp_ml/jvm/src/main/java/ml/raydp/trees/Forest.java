package ml.raydp.trees;

import java.nio.IntBuffer;
import org.apache.spark.unsafe.Platform;

/**
 * Boosted regression trees, walked as XGBoost walks them, to the same bits: values, thresholds and
 * sums are floats, and the leaves of a group are added in the order of its trees.
 *
 * <p>A node may ask for a category instead: those of its set go right. Forests with such nodes, and rows
 * of which values are missing, are walked tree by tree.
 *
 * <p>Floats become integers that are in the same order, so that a comparison is a subtraction and
 * costs no branch, which would be mispredicted at every third node. A node is one long: the key of
 * its threshold above, its left child and its feature below; the right child is the next one. A
 * leaf is its own left child, where all go: eight trees of different depths are walked together,
 * and the processor works on all of them at once. Nodes and keys are read without the JVM's checks
 * of bounds, a quarter of the time; the constructor has made sure that none is needed.
 */
final class Forest {
  private static final int FEATURE_BITS = 12;
  private static final int FEATURE = (1 << FEATURE_BITS) - 1;
  private static final int TOGETHER = 8;

  /** Set in the feature of a node that asks for a category. */
  private static final int CATEGORY = 1 << 30;

  final int features;

  /** Of each group of trees the sum before the first one. */
  final float[] base;

  private final long[] nodes;
  private final float[] leaves;

  /** Of each node whether a missing value goes right. */
  private final boolean[] missingRight;

  /** Of each node where its set begins, -1 for a threshold; null in a forest without categories. */
  private final int[] setAt;

  /** The sets: how many words, then as many words of a bit for each category. */
  private final int[] sets;

  private final int[] roots;
  private final int[] depths;

  /** Where each group's trees begin, and where the last one's end. */
  private final int[] groups;

  /**
   * Reads what Python has packed: the numbers of features, groups and nodes; for each group the
   * bits of its base score and the number of its trees, a multiple of eight; for each tree its root
   * and depth, by group; and for each node the bits of its threshold, its feature (all of its bits
   * turned over where missing values go right), its left child and the bits of its leaf. A node that
   * asks for a category has where its set begins in place of a threshold, and bit 30 of its feature.
   * The sets follow: how many words they have together, and these.
   */
  Forest(IntBuffer packed) {
    features = packed.get();
    base = new float[packed.get()];
    int count = packed.get();
    groups = new int[base.length + 1];
    for (int g = 0; g < base.length; g++) {
      base[g] = Float.intBitsToFloat(packed.get());
      groups[g + 1] = groups[g] + packed.get();
    }
    roots = new int[groups[base.length]];
    depths = new int[roots.length];
    for (int t = 0; t < roots.length; t++) {
      roots[t] = checked(packed.get(), count);
      depths[t] = packed.get();
    }
    nodes = new long[count];
    leaves = new float[count];
    missingRight = new boolean[count];
    int[] starts = new int[count];
    boolean any = false;
    checked(features - 1, FEATURE + 1);
    checked(count - 1, 1 << (Integer.SIZE - FEATURE_BITS));
    for (int at = 0; at < count; at++) {
      int bits = packed.get();
      int feature = packed.get();
      missingRight[at] = feature < 0;
      feature = feature < 0 ? ~feature : feature;
      boolean category = (feature & CATEGORY) != 0;
      starts[at] = category ? bits : -1;
      any |= category;
      int threshold = category ? 0 : key(Float.intBitsToFloat(bits));
      feature = checked(feature & ~CATEGORY, features);
      int left = packed.get();
      boolean leaf = left == at;
      checked(leaf ? left : left + 1, count);
      leaves[at] = Float.intBitsToFloat(packed.get());
      long low = (long) left << FEATURE_BITS | feature;
      nodes[at] = (long) (leaf ? Integer.MAX_VALUE : threshold) << Integer.SIZE | low;
    }
    setAt = any ? starts : null;
    sets = new int[any ? packed.get() : 0];
    packed.get(sets);
    for (int start : any ? starts : new int[0]) {
      if (start >= 0) {
        checked(start + sets[checked(start, sets.length)], sets.length);
      }
    }
  }

  private static int checked(int index, int length) {
    if (index < 0 || index >= length) {
      throw new IllegalArgumentException(index + " is not below " + length);
    }
    return index;
  }

  /** Maps a float that is a number to an integer of the same order; both zeros are one. */
  static int key(float value) {
    int bits = Float.floatToRawIntBits(value + 0.0f);
    return bits ^ (bits >> 31 & Integer.MAX_VALUE);
  }

  /** Sums the leaves of a group for a row. */
  float sum(int group, Cells row) {
    return row.gone == null && setAt == null
        ? sum(group, row.keys)
        : sum(group, row.keys, row.gone);
  }

  private float sum(int group, int[] keys) {
    long[] nodes = this.nodes;
    float sum = base[group];
    for (int t = groups[group]; t < groups[group + 1]; t += TOGETHER) {
      int depth = depths[t];
      for (int next = t + 1; next < t + TOGETHER; next++) {
        depth = Math.max(depth, depths[next]);
      }
      int a = roots[t];
      int b = roots[t + 1];
      int c = roots[t + 2];
      int d = roots[t + 3];
      int e = roots[t + 4];
      int f = roots[t + 5];
      int g = roots[t + 6];
      int h = roots[t + 7];
      for (; depth > 0; depth--) {
        a = child(nodes, a, keys);
        b = child(nodes, b, keys);
        c = child(nodes, c, keys);
        d = child(nodes, d, keys);
        e = child(nodes, e, keys);
        f = child(nodes, f, keys);
        g = child(nodes, g, keys);
        h = child(nodes, h, keys);
      }
      sum += leaves[a];
      sum += leaves[b];
      sum += leaves[c];
      sum += leaves[d];
      sum += leaves[e];
      sum += leaves[f];
      sum += leaves[g];
      sum += leaves[h];
    }
    return sum;
  }

  /** The same where values may be missing ({@code missing} is null where none is), or categories. */
  private float sum(int group, int[] keys, boolean[] missing) {
    float sum = base[group];
    for (int t = groups[group]; t < groups[group + 1]; t++) {
      int at = roots[t];
      for (int depth = depths[t]; depth > 0; depth--) {
        int left = (int) nodes[at] >>> FEATURE_BITS;
        int feature = (int) nodes[at] & FEATURE;
        if (left == at) {
          break;
        }
        if (missing != null && missing[feature]) {
          at = missingRight[at] ? left + 1 : left;
        } else if (setAt != null && setAt[at] >= 0) {
          at = isIn(setAt[at], keys[feature]) ? left + 1 : left;
        } else {
          at = child(nodes, at, keys);
        }
      }
      sum += leaves[at];
    }
    return sum;
  }

  private boolean isIn(int start, int key) {
    int category = (int) value(key);
    int word = category >>> 5;
    return word < sets[start] && (sets[start + 1 + word] >>> category & 1) != 0;
  }

  /** The float of a key. */
  static float value(int key) {
    return Float.intBitsToFloat(key ^ (key >> 31 & Integer.MAX_VALUE));
  }

  private static int child(long[] nodes, int at, int[] keys) {
    long node = Platform.getLong(nodes, Platform.LONG_ARRAY_OFFSET + ((long) at << 3));
    int key = Platform.getInt(keys, Platform.INT_ARRAY_OFFSET + ((node & FEATURE) << 2));
    // The top bit is set where the threshold is at most the value, which then goes right.
    long below = (node >> Integer.SIZE) - key - 1;
    return ((int) node >>> FEATURE_BITS) + (int) (below >>> 63);
  }
}

package ml.raydp.trees;

import java.nio.ByteBuffer;
import java.util.Arrays;
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

  final int features;

  /** Of each group of trees the sum before the first one. */
  final float[] base;

  private final long[] nodes;

  /** Of each leaf what it adds to the sum, or the bits of its number. */
  private final float[] leaves;

  /** Of each node whether a missing value goes right. */
  private final boolean[] missingRight;

  /** Of each node where its set begins, -1 for a threshold; null in a forest without categories. */
  private final int[] setAt;

  private final CategorySets sets;

  /** The trees of each group, filled up with leaves of nothing to a multiple of eight. */
  private final int[][] roots;

  private final int[][] depths;

  /** Of each group how many trees it has without these. */
  private final int[] counts;

  /**
   * Reads what Python has packed: the numbers of features, groups and nodes; for each group the
   * bits of its base score and the number of its trees; for each tree its root and depth, by group;
   * and for each node the bits of its threshold, its feature (all of its bits turned over where
   * missing values go right), its left child and the bits of its leaf. A node that asks for a
   * category has where its set begins in place of a threshold, and the bit {@link
   * CategorySets#ASKED} of its feature. The sets follow.
   */
  Forest(ByteBuffer packed) {
    features = packed.getInt();
    base = new float[packed.getInt()];
    int nothing = packed.getInt();
    checked(features - 1, FEATURE + 1);
    checked(nothing, 1 << (Integer.SIZE - FEATURE_BITS));
    counts = new int[base.length];
    for (int g = 0; g < base.length; g++) {
      base[g] = packed.getFloat();
      counts[g] = packed.getInt();
    }
    roots = new int[base.length][];
    depths = new int[base.length][];
    for (int g = 0; g < base.length; g++) {
      int room = (counts[g] + TOGETHER - 1) / TOGETHER * TOGETHER;
      roots[g] = new int[room];
      depths[g] = new int[room];
      Arrays.fill(roots[g], nothing);
      for (int t = 0; t < counts[g]; t++) {
        roots[g][t] = checked(packed.getInt(), nothing);
        depths[g][t] = packed.getInt();
      }
    }
    nodes = new long[nothing + 1];
    leaves = new float[nothing + 1];
    missingRight = new boolean[nothing + 1];
    int[] starts = new int[nothing + 1];
    for (int at = 0; at < nothing; at++) {
      read(packed, at, starts);
    }
    nodes[nothing] = node(Integer.MAX_VALUE, nothing, 0);
    starts[nothing] = -1;
    sets = new CategorySets(packed);
    boolean any = false;
    for (int start : starts) {
      any |= start >= 0 && sets.checked(start) >= 0;
    }
    setAt = any ? starts : null;
  }

  private void read(ByteBuffer packed, int at, int[] starts) {
    int bits = packed.getInt();
    int split = packed.getInt();
    int left = packed.getInt();
    leaves[at] = packed.getFloat();
    missingRight[at] = split < 0;
    split = split < 0 ? ~split : split;
    int feature = checked(split & ~CategorySets.ASKED, features);
    boolean asksCategory = feature != split;
    starts[at] = asksCategory ? bits : -1;
    boolean isLeaf = left == at;
    checked(isLeaf ? left : left + 1, nodes.length - 1);
    int threshold = asksCategory ? 0 : key(Float.intBitsToFloat(bits));
    nodes[at] = node(isLeaf ? Integer.MAX_VALUE : threshold, left, feature);
  }

  private static long node(int threshold, int left, int feature) {
    return (long) threshold << Integer.SIZE | (long) left << FEATURE_BITS | feature;
  }

  static int checked(int index, int length) {
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

  /** Adds the leaves of a group for a row to where the sum begins. */
  float sum(int group, float start, Cells row) {
    int[] at = new int[TOGETHER];
    float sum = start;
    for (int t = 0; t < counts[group]; t += TOGETHER) {
      walk(group, t, row, at);
      for (int leaf : at) {
        sum += leaves[leaf];
      }
    }
    return sum;
  }

  /** The numbers of the leaves of the first group for a row. */
  int[] leaves(Cells row) {
    int[] at = new int[TOGETHER];
    int[] made = new int[counts[0]];
    for (int t = 0; t < made.length; t += TOGETHER) {
      walk(0, t, row, at);
      for (int i = 0; i < TOGETHER && t + i < made.length; i++) {
        made[t + i] = Float.floatToRawIntBits(leaves[at[i]]);
      }
    }
    return made;
  }

  /** Finds the leaves of the next eight trees. */
  private void walk(int group, int first, Cells row, int[] at) {
    if (row.gone == null && setAt == null) {
      walk(roots[group], depths[group], first, row.keys, at);
      return;
    }
    for (int i = 0; i < TOGETHER; i++) {
      at[i] = leaf(roots[group][first + i], depths[group][first + i], row.keys, row.gone);
    }
  }

  private void walk(int[] roots, int[] depths, int first, int[] keys, int[] at) {
    long[] nodes = this.nodes;
    int depth = depths[first];
    for (int next = first + 1; next < first + TOGETHER; next++) {
      depth = Math.max(depth, depths[next]);
    }
    int a = roots[first];
    int b = roots[first + 1];
    int c = roots[first + 2];
    int d = roots[first + 3];
    int e = roots[first + 4];
    int f = roots[first + 5];
    int g = roots[first + 6];
    int h = roots[first + 7];
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
    at[0] = a;
    at[1] = b;
    at[2] = c;
    at[3] = d;
    at[4] = e;
    at[5] = f;
    at[6] = g;
    at[7] = h;
  }

  /** The leaf of one tree where values may be missing (null where none is), or categories. */
  private int leaf(int root, int depth, int[] keys, boolean[] missing) {
    int at = root;
    for (; depth > 0; depth--) {
      int left = (int) nodes[at] >>> FEATURE_BITS;
      int feature = (int) nodes[at] & FEATURE;
      if (left == at) {
        break;
      }
      if (missing != null && missing[feature]) {
        at = missingRight[at] ? left + 1 : left;
      } else if (setAt != null && setAt[at] >= 0) {
        at = sets.holds(setAt[at], keys[feature]) ? left + 1 : left;
      } else {
        at = child(nodes, at, keys);
      }
    }
    return at;
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

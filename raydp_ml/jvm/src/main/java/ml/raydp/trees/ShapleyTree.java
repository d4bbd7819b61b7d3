package ml.raydp.trees;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * The Shapley values of one tree: what each feature adds to its output for a row, where features
 * that are not known are averaged over by the covers of the nodes (path-dependent TreeSHAP, Lundberg
 * et al. 2018).
 *
 * <p>The path to a leaf of value v has conditions on some features. For feature i, let z be the
 * product of the shares of the cover that its conditions let pass, and o be 1 if the row meets them
 * all, else 0. The leaf's part of the Shapley value of i is then (Owen 1972, multilinear extension)
 *
 * <pre>v (o_i - z_i) * integral from 0 to 1 over t of product over j != i of z_j (1 - t) + o_j t</pre>
 *
 * of a polynomial, which Gauss's quadrature integrates exactly with half as many points as there are
 * features. For one t, a way down the tree makes the products of all leaves, with feature i's factor
 * in them, and the way up sums them; where the path leaves a condition on i, the sum is multiplied
 * by (o_i - z_i) / factor, less what the condition above it on the same feature would have given. A
 * row so costs the nodes times the points, and all that does not depend on the row is in tables.
 */
final class ShapleyTree {
  /**
   * States of a node for a row: where the row goes from it, or that it met not all conditions above
   * on the node's feature, so that one more makes no difference to o.
   */
  private static final int LEFT = 0;

  private static final int RIGHT = 1;
  private static final int UNMET = 2;
  private static final int STATES = 3;

  final int points;

  /** Inner nodes, each after its parent, and before them one above the root that is always LEFT. */
  final int size;

  private final int[] features;

  /** Of a node that asks for a category, where its set begins. */
  private final int[] thresholds;

  private final boolean[] asksCategory;
  private final CategorySets sets;
  private final boolean[] missingRight;
  private final int[] parents;

  /** The nearest node above with the same feature, and the state in which it leads to this one. */
  private final int[] same;

  private final int[] wanted;

  /** By node and its parent's state: for each point the edge's factor, then for each its gain. */
  private final double[] edges;

  /** By node and its own state: for each point the sum of its leaves, then for each their gain. */
  private final double[] leaves;

  /**
   * Reads what Python has packed: the numbers of points and nodes, the points and their weights, and
   * the nodes.
   *
   * @param width the number of features
   * @param sets those that the nodes ask for
   */
  ShapleyTree(ByteBuffer packed, int width, CategorySets sets) {
    this.sets = sets;
    points = packed.getInt();
    Layout layout = new Layout(packed, packed.getInt(), width);
    size = layout.inner + 1;
    features = new int[size];
    thresholds = new int[size];
    asksCategory = new boolean[size];
    missingRight = new boolean[size];
    parents = new int[size];
    same = new int[size];
    wanted = new int[size];
    edges = new double[size * STATES * 2 * points];
    leaves = new double[edges.length];
    Arrays.fill(edges, place(1, LEFT), place(1, LEFT) + points, 1);
    layout.place(0, 0, 1);
  }

  private int place(int node, int state) {
    return (node * STATES + state) * 2 * points;
  }

  /** Adds the tree's values for a row to those of each feature. */
  void add(Cells row, double[] values, Scratch scratch) {
    int[] states = scratch.states;
    double[] products = scratch.products;
    double[] sums = scratch.sums;
    int points = this.points;
    states[0] = LEFT;
    Arrays.fill(products, 0, points, 1);
    for (int k = 1; k < size; k++) {
      int feature = features[k];
      boolean gone = row.gone != null && row.gone[feature];
      boolean right = gone ? missingRight[k] : isMet(k, row.keys[feature]);
      states[k] = states[same[k]] != wanted[k] ? UNMET : right ? RIGHT : LEFT;
      int edge = place(k, states[parents[k]]);
      int above = parents[k] * points;
      int here = k * points;
      for (int q = 0; q < points; q++) {
        products[here + q] = products[above + q] * edges[edge + q];
      }
    }
    for (int k = size - 1; k > 0; k--) {
      int leaf = place(k, states[k]);
      int gain = place(k, states[parents[k]]) + points;
      int above = parents[k] * points;
      int here = k * points;
      double own = 0;
      double parent = 0;
      for (int q = 0; q < points; q++) {
        double sum = sums[here + q] + products[here + q] * leaves[leaf + q];
        own += products[here + q] * leaves[leaf + points + q];
        parent += sum * edges[gain + q];
        sums[above + q] += sum;
        sums[here + q] = 0;
      }
      values[features[k]] += own;
      values[features[parents[k]]] += parent;
    }
    Arrays.fill(sums, 0, points, 0);
  }

  private boolean isMet(int k, int key) {
    return asksCategory[k] ? sets.holds(thresholds[k], key) : key >= thresholds[k];
  }

  /** What a row needs room for: it belongs to one thread, and its sums are left at 0. */
  static final class Scratch {
    private final int[] states;
    private final double[] products;
    private final double[] sums;

    Scratch(int nodes, int cells) {
      states = new int[nodes];
      products = new double[cells];
      sums = new double[cells];
    }
  }

  /** Puts the nodes of XGBoost's tree in their places. */
  private final class Layout {
    final int inner;
    private final double[] at;
    private final double[] weights;
    private final int[] left;
    private final int[] right;
    private final int[] splits;
    private final int[] bits;
    private final double[] value;
    private final double[] cover;

    /** Of each feature, on the way to a node: the last node that splits on it, and its side. */
    private final int[] last;

    private final int[] side;

    /** The share of the cover that all of those conditions let pass. */
    private final double[] share;

    /**
     * Reads for each node its children (-1 for a leaf), its feature (all of its bits turned over
     * where missing values go right), the bits of its threshold, its value and its cover. A node
     * that asks for a category has where its set begins in place of a threshold, and the bit {@link
     * CategorySets#ASKED} of its feature.
     */
    Layout(ByteBuffer packed, int count, int width) {
      at = new double[points];
      weights = new double[points];
      for (int q = 0; q < points; q++) {
        at[q] = packed.getDouble();
        weights[q] = packed.getDouble();
      }
      left = new int[count];
      right = new int[count];
      splits = new int[count];
      bits = new int[count];
      value = new double[count];
      cover = new double[count];
      int splitting = 0;
      for (int i = 0; i < count; i++) {
        left[i] = packed.getInt();
        right[i] = packed.getInt();
        splits[i] = packed.getInt();
        bits[i] = packed.getInt();
        value[i] = packed.getDouble();
        cover[i] = packed.getDouble();
        splitting += left[i] < 0 ? 0 : 1;
      }
      inner = splitting;
      last = new int[width];
      side = new int[width];
      share = new double[width];
      Arrays.fill(share, 1);
    }

    /** Puts a node and all below it in places from k on; returns the place after them. */
    int place(int node, int parent, int k) {
      int split = splits[node] < 0 ? ~splits[node] : splits[node];
      int feature = split & ~CategorySets.ASKED;
      missingRight[k] = splits[node] < 0;
      asksCategory[k] = feature != split;
      features[k] = feature;
      thresholds[k] =
          asksCategory[k]
              ? sets.checked(bits[node])
              : Forest.key(Float.intBitsToFloat(bits[node]));
      parents[k] = parent;
      same[k] = last[feature];
      wanted[k] = side[feature];
      double before = share[feature];
      int next = k + 1;
      for (int to = LEFT; to <= RIGHT; to++) {
        int child = to == LEFT ? left[node] : right[node];
        double part = cover[child] / cover[node];
        if (left[child] < 0) {
          addLeaf(k, to, before, part, value[child]);
          continue;
        }
        fillEdge(next, to, before, part);
        last[feature] = k;
        side[feature] = to;
        share[feature] = before * part;
        next = place(child, k, next);
        last[feature] = same[k];
        side[feature] = wanted[k];
        share[feature] = before;
      }
      return next;
    }

    private void addLeaf(int node, int to, double before, double part, double value) {
      for (int state = 0; state < STATES; state++) {
        int from = ShapleyTree.this.place(node, state);
        for (int q = 0; q < points; q++) {
          double product = value * factor(state, to, before, part, at[q]);
          leaves[from + q] += product;
          leaves[from + points + q] += product * gain(state, to, before, part, q);
        }
      }
    }

    private void fillEdge(int node, int to, double before, double part) {
      for (int state = 0; state < STATES; state++) {
        int from = ShapleyTree.this.place(node, state);
        for (int q = 0; q < points; q++) {
          edges[from + q] = factor(state, to, before, part, at[q]);
          edges[from + points + q] = gain(state, to, before, part, q);
        }
      }
    }

    /**
     * What a condition makes of a product that has its feature's factor already.
     *
     * @param before the share that the conditions above on the feature let pass
     * @param part the share of it that this one lets pass
     */
    private double factor(int state, int to, double before, double part, double t) {
      if (state == UNMET) {
        return part;
      }
      double met = state == to ? t : 0;
      return (before * part * (1 - t) + met) / (before * (1 - t) + t);
    }

    /** The weighted change of (o - z) / factor, of which UNMET ones have the same. */
    private double gain(int state, int to, double before, double part, int q) {
      if (state == UNMET) {
        return 0;
      }
      double t = at[q];
      double above = (1 - before) / (before * (1 - t) + t);
      double share = before * part;
      double here = state == to ? (1 - share) / (share * (1 - t) + t) : -1 / (1 - t);
      return weights[q] * (here - above);
    }
  }
}

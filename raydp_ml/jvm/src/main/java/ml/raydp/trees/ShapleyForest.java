package ml.raydp.trees;

import java.nio.ByteBuffer;

/** Shapley values of the sums of boosted trees. */
final class ShapleyForest {
  final int features;

  /** Of each group of trees what is left for no feature: the mean of its sum. */
  private final double[] bias;

  private final ShapleyTree[][] groups;
  private int mostNodes = 1;
  private int mostCells = 1;

  /**
   * Reads what Python has packed: the numbers of features and groups; the sets of categories; and
   * of each group its bias, the number of its trees, and the trees.
   */
  ShapleyForest(ByteBuffer packed) {
    features = packed.getInt();
    bias = new double[packed.getInt()];
    CategorySets sets = new CategorySets(packed);
    groups = new ShapleyTree[bias.length][];
    for (int g = 0; g < bias.length; g++) {
      bias[g] = packed.getDouble();
      groups[g] = new ShapleyTree[packed.getInt()];
      for (int t = 0; t < groups[g].length; t++) {
        ShapleyTree tree = new ShapleyTree(packed, features, sets);
        groups[g][t] = tree;
        mostNodes = Math.max(mostNodes, tree.size);
        mostCells = Math.max(mostCells, tree.size * tree.points);
      }
    }
  }

  /** The values of each group for a row: those of the features, then the bias. */
  double[][] values(Cells cells) {
    ShapleyTree.Scratch scratch = new ShapleyTree.Scratch(mostNodes, mostCells);
    double[][] values = new double[bias.length][features + 1];
    for (int g = 0; g < bias.length; g++) {
      values[g][features] = bias[g];
      for (ShapleyTree tree : groups[g]) {
        tree.add(cells, values[g], scratch);
      }
    }
    return values;
  }
}

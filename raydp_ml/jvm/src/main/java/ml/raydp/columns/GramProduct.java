package ml.raydp.columns;

import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * The product of the Gram matrix of vectors, which would be too large where they are wide, with a
 * few columns; called from Python through py4j.
 */
public final class GramProduct {
  /**
   * Multiplies the sum of x x' over the vectors x of {@code data}, its only column.
   *
   * @param matrix big-endian doubles by rows, one row for each entry of the vectors
   * @return the product, in the same form; then for each column of the matrix the sum of squares of
   *     its products with the vectors, which keeps digits that the other would lose near zero
   */
  public byte[] run(Dataset<?> data, byte[] matrix, int columns) {
    JavaRDD<InternalRow> rows = Rows.of(data);
    double[] factors = Doubles.unpacked(matrix);
    return Doubles.packed(
        rows.mapPartitions(input -> List.of(multiply(input, factors, columns)).iterator())
            .treeReduce(GramProduct::added, Trees.depth(rows)));
  }

  private static double[] multiply(Iterator<InternalRow> input, double[] factors, int columns) {
    double[] made = new double[factors.length + columns];
    double[] projected = new double[columns];
    while (input.hasNext()) {
      Entries entries = Entries.of(input.next(), 0);
      Arrays.fill(projected, 0);
      for (int i = 0; i < entries.values.length; i++) {
        addScaled(projected, 0, factors, entries.place(i) * columns, entries.values[i], columns);
      }
      for (int j = 0; j < columns; j++) {
        made[factors.length + j] += projected[j] * projected[j];
      }
      for (int i = 0; i < entries.values.length; i++) {
        addScaled(made, entries.place(i) * columns, projected, 0, entries.values[i], columns);
      }
    }
    return made;
  }

  private static void addScaled(
      double[] sums, int at, double[] values, int from, double factor, int count) {
    for (int j = 0; j < count; j++) {
      sums[at + j] += factor * values[from + j];
    }
  }

  private static double[] added(double[] one, double[] other) {
    for (int i = 0; i < one.length; i++) {
      one[i] += other[i];
    }
    return one;
  }
}

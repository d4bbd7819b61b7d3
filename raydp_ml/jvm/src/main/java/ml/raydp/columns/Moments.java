package ml.raydp.columns;

import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * Count, mean, variance and range of columns of doubles, in one pass; called from Python through
 * py4j.
 *
 * <p>As in {@link Covariance}, blocks of rows are centred on their own mean and merged (Chan, Golub,
 * LeVeque, 1979). SQL's aggregates would need the columns as rows, since the code of one aggregate
 * for each column outgrows the JVM's limits.
 */
public final class Moments {
  /** Rows of a block, and values beyond which wide rows make it shorter. */
  private static final int ROWS = 512;

  private static final int VALUES = 1 << 20;

  /** Statistics per column, in the order in which they are packed; null and NaN are left out. */
  private static final int COUNT = 0;

  private static final int INFINITE = 1;
  private static final int TOTAL = 2;
  private static final int MEAN = 3;
  private static final int SQUARES = 4;
  private static final int LOW = 5;
  private static final int HIGH = 6;

  /** What the mean lacks for being rounded: of values far from zero, more than they vary. */
  private static final int REST = 7;

  private static final int KINDS = 8;

  /** Rows, and rows with a weight that is none, stand in front. */
  private static final int HEAD = 2;

  /**
   * Aggregates {@code data}, whose columns must all be doubles, and of which the last holds weights
   * where {@code weighted}.
   *
   * @return big-endian doubles: the rows; those with a weight that is missing, negative or infinite, which are left
   *     out; then per column, one after the other: the finite values, the infinite, the sum of
   *     weights, the mean, the sum of squared deviations, the least and the greatest value of
   *     positive weight (NaN without one), and what the mean lacks for being rounded
   */
  public byte[] run(Dataset<?> data, boolean weighted) {
    int width = data.schema().length() - (weighted ? 1 : 0);
    JavaRDD<InternalRow> rows = Rows.of(data);
    if (rows.getNumPartitions() == 0) {
      return Doubles.packed(empty(width));
    }
    return Doubles.packed(
        rows.mapPartitions(input -> List.of(aggregate(input, width, weighted)).iterator())
            .treeReduce(Moments::merge, Trees.depth(rows)));
  }

  private static double[] empty(int width) {
    double[] made = new double[HEAD + KINDS * width];
    for (int i = 0; i < width; i++) {
      made[at(i) + LOW] = Double.NaN;
      made[at(i) + HIGH] = Double.NaN;
    }
    return made;
  }

  private static int at(int column) {
    return HEAD + KINDS * column;
  }

  static double[] aggregate(Iterator<InternalRow> input, int width, boolean weighted) {
    double[] total = empty(width);
    int rows = Math.max(8, Math.min(ROWS, VALUES / Math.max(1, width)));
    double[][] block = new double[width][rows];
    double[] weights = new double[rows];
    Arrays.fill(weights, 1);
    int held = 0;
    while (input.hasNext()) {
      InternalRow row = input.next();
      total[0]++;
      if (weighted) {
        weights[held] = row.isNullAt(width) ? -1 : row.getDouble(width);
        if (!(weights[held] >= 0 && weights[held] < Double.POSITIVE_INFINITY)) {
          total[1]++;
          continue;
        }
      }
      for (int i = 0; i < width; i++) {
        block[i][held] = row.isNullAt(i) ? Double.NaN : row.getDouble(i);
      }
      if (++held == rows) {
        add(total, block, weights, held);
        held = 0;
      }
    }
    add(total, block, weights, held);
    return total;
  }

  private static void add(double[] total, double[][] block, double[] weights, int rows) {
    double[] of = new double[KINDS];
    for (int i = 0; i < block.length; i++) {
      summarize(block[i], weights, rows, of);
      mergeColumn(total, at(i), of, 0);
    }
  }

  private static void summarize(double[] values, double[] weights, int rows, double[] of) {
    double count = 0;
    double infinite = 0;
    double total = 0;
    double sum = 0;
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    for (int r = 0; r < rows; r++) {
      double x = values[r];
      if (Double.isInfinite(x)) {
        infinite++;
        values[r] = Double.NaN;
      } else if (x == x) {
        double w = weights[r];
        count++;
        total += w;
        sum += w * x;
        if (w > 0) {
          low = Math.min(low, x);
          high = Math.max(high, x);
        }
      }
    }
    double mean = total > 0 ? sum / total : 0;
    double gaps = 0;
    double squares = 0;
    for (int r = 0; r < rows; r++) {
      double gap = values[r] - mean;
      if (gap == gap) {
        gaps += weights[r] * gap;
        squares += weights[r] * gap * gap;
      }
    }
    double rest = total > 0 ? gaps / total : 0;
    of[COUNT] = count;
    of[INFINITE] = infinite;
    of[TOTAL] = total;
    of[MEAN] = mean;
    of[SQUARES] = Double.isInfinite(squares) ? squares : Math.max(squares - gaps * rest, 0);
    of[REST] = rest;
    of[LOW] = low > high ? Double.NaN : low;
    of[HIGH] = low > high ? Double.NaN : high;
  }

  static double[] merge(double[] one, double[] other) {
    one[0] += other[0];
    one[1] += other[1];
    for (int start = HEAD; start < one.length; start += KINDS) {
      mergeColumn(one, start, other, start);
    }
    return one;
  }

  private static void mergeColumn(double[] one, int at, double[] other, int from) {
    one[at + COUNT] += other[from + COUNT];
    one[at + INFINITE] += other[from + INFINITE];
    double added = other[from + TOTAL];
    if (!(added > 0)) {
      return;
    }
    double held = one[at + TOTAL];
    if (held == 0) {
      System.arraycopy(other, from + TOTAL, one, at + TOTAL, KINDS - TOTAL);
      return;
    }
    double share = added / (held + added);
    double rest = one[at + REST];
    double gap = other[from + MEAN] - one[at + MEAN] + (other[from + REST] - rest);
    double step = rest + gap * share;
    double mean = one[at + MEAN];
    one[at + TOTAL] = held + added;
    one[at + MEAN] = mean + step;
    one[at + REST] = step - (one[at + MEAN] - mean);
    one[at + SQUARES] += other[from + SQUARES] + gap * (held * share) * gap;
    one[at + LOW] = Math.min(one[at + LOW], other[from + LOW]);
    one[at + HIGH] = Math.max(one[at + HIGH], other[from + HIGH]);
  }
}

package ml.raydp.columns;

import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * Means and variances of columns raised to many powers, in one pass; called from Python
 * through py4j.
 *
 * <p>A value is read as its logarithm x. Its power p (Box and Cox, 1964) is (exp(p x) - 1) / p, with
 * the limit x at p = 0. Yeo and Johnson (2000) mirror it for negative values, which bear the power 2 -
 * p; their logarithm is that of 1 - value, with a negative sign.
 */
public final class PowerMoments {
  /** Values for each column in what is asked: its place and its centre stand before its powers. */
  private static final int HEAD = 2;

  /**
   * Aggregates columns of {@code data}, which must all be doubles.
   *
   * @param signed whether negative logarithms are those of negative values (Yeo-Johnson)
   * @param asked big-endian doubles: for each column its place, what is subtracted from the
   *     magnitude of a logarithm, and {@code powers} powers
   * @return big-endian doubles: for each asked column and power, the mean and the variance of the
   *     population; null and NaN are left out
   */
  public byte[] run(Dataset<?> data, boolean signed, int powers, byte[] asked) {
    double[] table = Doubles.unpacked(asked);
    int columns = table.length / (HEAD + powers);
    JavaRDD<InternalRow> rows = Rows.of(data);
    if (rows.getNumPartitions() == 0) {
      return Doubles.packed(new double[2 * columns * powers]);
    }
    double[] made =
        rows.mapPartitions(input -> List.of(aggregate(input, signed, powers, table)).iterator())
            .treeReduce((one, other) -> merge(one, other, powers), Trees.depth(rows));
    double[] packed = new double[2 * columns * powers];
    for (int i = 0; i < columns * powers; i++) {
      int start = i / powers * (1 + 2 * powers);
      int mean = start + 1 + 2 * (i % powers);
      packed[2 * i] = made[mean];
      packed[2 * i + 1] = made[mean + 1] / made[start];
    }
    return Doubles.packed(packed);
  }

  /** Returns, for each column, the count, then mean and squared deviations of each power. */
  private static double[] aggregate(
      Iterator<InternalRow> input, boolean signed, int powers, double[] table) {
    int columns = table.length / (HEAD + powers);
    double[] total = new double[columns * (1 + 2 * powers)];
    while (input.hasNext()) {
      InternalRow row = input.next();
      for (int column = 0; column < columns; column++) {
        int from = column * (HEAD + powers);
        int place = (int) table[from];
        double x = row.isNullAt(place) ? Double.NaN : row.getDouble(place);
        if (x == x) {
          add(total, column * (1 + 2 * powers), x, signed, powers, table, from);
        }
      }
    }
    return total;
  }

  private static void add(
      double[] total, int to, double x, boolean signed, int powers, double[] table, int from) {
    boolean mirrored = signed && x < 0;
    double log = (mirrored ? -x : x) - table[from + 1];
    double count = ++total[to];
    for (int i = 0; i < powers; i++) {
      double power = table[from + HEAD + i];
      double made = mirrored ? -raised(log, 2 - power) : raised(log, power);
      // Welford's update.
      int mean = to + 1 + 2 * i;
      double gap = made - total[mean];
      total[mean] += gap / count;
      total[mean + 1] += gap * (made - total[mean]);
    }
  }

  private static double raised(double log, double power) {
    return Math.abs(power) < Math.ulp(1.0) ? log : Math.expm1(power * log) / power;
  }

  private static double[] merge(double[] one, double[] other, int powers) {
    for (int to = 0; to < one.length; to += 1 + 2 * powers) {
      double added = other[to];
      double held = one[to];
      if (added == 0) {
        continue;
      }
      one[to] = held + added;
      double share = added / (held + added);
      for (int mean = to + 1; mean < to + 1 + 2 * powers; mean += 2) {
        double gap = other[mean] - one[mean];
        one[mean] += gap * share;
        one[mean + 1] += other[mean + 1] + gap * (held * share) * gap;
      }
    }
    return one;
  }
}

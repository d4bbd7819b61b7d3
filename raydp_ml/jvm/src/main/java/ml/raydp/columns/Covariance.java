package ml.raydp.columns;

import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * Mean and co-moments of columns of doubles, in one pass; called from Python through py4j.
 *
 * <p>Blocks of rows are centred on their own mean and merged (Chan, Golub, LeVeque, 1979), so that
 * no digits are lost where means are large.
 */
public final class Covariance {
  private static final int BLOCK = 256;

  /**
   * Aggregates {@code data}, whose columns must all be doubles.
   *
   * @return big-endian doubles: the rows without missing or infinite values; per column the mean, then the missing,
   *     then the infinite; then the upper triangle of the sums of products of deviations, by rows
   */
  public byte[] run(Dataset<?> data) {
    int width = data.schema().length();
    JavaRDD<InternalRow> rows = Rows.of(data);
    if (rows.getNumPartitions() == 0) {
      return Doubles.packed(new Moments(width).packed());
    }
    // Plain arrays travel: driver and executors load this class from the jar each for itself, and
    // to the JVM the two are different classes.
    return Doubles.packed(
        rows.mapPartitions(input -> List.of(aggregate(input, width).packed()).iterator())
            .treeReduce(
                (a, b) -> new Moments(width, a).merge(new Moments(width, b)).packed(),
                Trees.depth(rows)));
  }

  private static Moments aggregate(Iterator<InternalRow> input, int width) {
    Moments total = new Moments(width);
    double[][] block = new double[BLOCK][width];
    int held = 0;
    while (input.hasNext()) {
      if (total.read(input.next(), block[held]) && ++held == BLOCK) {
        total.add(block, held);
        held = 0;
      }
    }
    total.add(block, held);
    return total;
  }

  private static final class Moments {
    private final int width;
    private double count;
    private final double[] mean;
    private final double[] missing;
    private final double[] infinite;
    private final double[][] products;

    Moments(int width) {
      this.width = width;
      mean = new double[width];
      missing = new double[width];
      infinite = new double[width];
      products = new double[width][];
      for (int i = 0; i < width; i++) {
        products[i] = new double[width - i];
      }
    }

    Moments(int width, double[] packed) {
      this(width);
      count = packed[0];
      System.arraycopy(packed, 1, mean, 0, width);
      System.arraycopy(packed, 1 + width, missing, 0, width);
      System.arraycopy(packed, 1 + 2 * width, infinite, 0, width);
      int at = 1 + 3 * width;
      for (double[] sums : products) {
        System.arraycopy(packed, at, sums, 0, sums.length);
        at += sums.length;
      }
    }

    boolean read(InternalRow row, double[] values) {
      boolean whole = true;
      for (int i = 0; i < width; i++) {
        double value = row.isNullAt(i) ? Double.NaN : row.getDouble(i);
        values[i] = value;
        if (Double.isNaN(value)) {
          missing[i]++;
          whole = false;
        } else if (Double.isInfinite(value)) {
          infinite[i]++;
          whole = false;
        }
      }
      return whole;
    }

    void add(double[][] block, int rows) {
      if (rows == 0) {
        return;
      }
      Moments other = new Moments(width);
      other.count = rows;
      for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width; i++) {
          other.mean[i] += block[r][i];
        }
      }
      for (int i = 0; i < width; i++) {
        other.mean[i] /= rows;
      }
      for (int r = 0; r < rows; r++) {
        double[] values = block[r];
        for (int i = 0; i < width; i++) {
          values[i] -= other.mean[i];
        }
        for (int i = 0; i < width; i++) {
          addScaled(other.products[i], values, i, values[i]);
        }
      }
      merge(other);
    }

    /** A method of its own, so that it is compiled, and vectorised, by itself. */
    private static void addScaled(double[] sums, double[] values, int from, double factor) {
      for (int j = 0; j < sums.length; j++) {
        sums[j] += factor * values[from + j];
      }
    }

    Moments merge(Moments other) {
      double total = count + other.count;
      for (int i = 0; i < width; i++) {
        missing[i] += other.missing[i];
        infinite[i] += other.infinite[i];
      }
      if (other.count == 0) {
        return this;
      }
      double share = other.count / total;
      double[] gap = new double[width];
      for (int i = 0; i < width; i++) {
        gap[i] = other.mean[i] - mean[i];
      }
      for (int i = 0; i < width; i++) {
        double[] sums = products[i];
        double[] others = other.products[i];
        for (int j = 0; j < sums.length; j++) {
          sums[j] += others[j];
        }
        addScaled(sums, gap, i, gap[i] * count * share);
      }
      for (int i = 0; i < width; i++) {
        mean[i] += gap[i] * share;
      }
      count = total;
      return this;
    }

    double[] packed() {
      double[] made = new double[1 + 3 * width + width * (width + 1) / 2];
      made[0] = count;
      System.arraycopy(mean, 0, made, 1, width);
      System.arraycopy(missing, 0, made, 1 + width, width);
      System.arraycopy(infinite, 0, made, 1 + 2 * width, width);
      int at = 1 + 3 * width;
      for (double[] sums : products) {
        System.arraycopy(sums, 0, made, at, sums.length);
        at += sums.length;
      }
      return made;
    }
  }
}

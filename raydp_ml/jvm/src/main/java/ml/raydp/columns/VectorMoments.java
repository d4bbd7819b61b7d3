package ml.raydp.columns;

import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * Statistics of the entries of vectors within groups of rows, in one pass; called from Python
 * through py4j.
 *
 * <p>Only what is not zero is looked at, and the moments are those of these values alone: the zeros
 * are merged into them at the end, by who knows how many rows there are.
 */
public final class VectorMoments {
  /** The head: rows, null vectors, bad weights, the least and the greatest size. */
  private static final int ROWS = 0;

  private static final int NULLS = 1;
  private static final int BAD = 2;
  private static final int LEAST = 3;
  private static final int MOST = 4;
  private static final int HEAD = 5;

  /** Per entry, of its values other than zero. */
  private static final int HELD = 0;

  private static final int MISSING = 1;
  private static final int INFINITE = 2;
  private static final int MISSING_WEIGHT = 3;
  private static final int TOTAL = 4;
  private static final int MEAN = 5;
  private static final int SQUARES = 6;
  private static final int LOW = 7;
  private static final int HIGH = 8;
  private static final int KINDS = 9;

  /**
   * Aggregates {@code data}, whose columns are the vector, the group from 0 as an integer, and the
   * weight as a double.
   *
   * @param most so many entries of groups there may be
   * @return big-endian doubles: the head; per group the rows, then per group their weights; then by
   *     group and entry the statistics. Groups are left out where the sizes of the vectors differ,
   *     are too large, or there are none.
   */
  public byte[] run(Dataset<?> data, int groups, int most) {
    JavaRDD<InternalRow> rows = Rows.of(data);
    if (rows.getNumPartitions() == 0) {
      return Doubles.packed(head());
    }
    return Doubles.packed(
        rows.mapPartitions(input -> List.of(aggregate(input, groups, most)).iterator())
            .treeReduce((a, b) -> merge(a, b, groups), Trees.depth(rows)));
  }

  private static double[] head() {
    double[] made = new double[HEAD];
    made[LEAST] = Double.POSITIVE_INFINITY;
    made[MOST] = Double.NEGATIVE_INFINITY;
    return made;
  }

  private static double[] aggregate(Iterator<InternalRow> input, int groups, int most) {
    double[] total = head();
    int width = -1;
    while (input.hasNext()) {
      InternalRow row = input.next();
      total[ROWS]++;
      if (row.isNullAt(0)) {
        total[NULLS]++;
        continue;
      }
      double weight = row.isNullAt(2) ? -1 : row.getDouble(2);
      if (!(weight >= 0 && weight < Double.POSITIVE_INFINITY)) {
        total[BAD]++;
        continue;
      }
      Entries entries = Entries.of(row, 0);
      total[LEAST] = Math.min(total[LEAST], entries.size);
      total[MOST] = Math.max(total[MOST], entries.size);
      if ((long) entries.size * groups > most) {
        continue;
      }
      if (width < 0) {
        width = entries.size;
        total = Arrays.copyOf(total, start(groups) + groups * width * KINDS);
        for (int at = start(groups); at < total.length; at += KINDS) {
          total[at + LOW] = Double.POSITIVE_INFINITY;
          total[at + HIGH] = Double.NEGATIVE_INFINITY;
        }
      }
      if (entries.size == width) {
        add(total, entries, row.getInt(1), groups, weight);
      }
    }
    return total;
  }

  private static int start(int groups) {
    return HEAD + 2 * groups;
  }

  private static void add(double[] total, Entries entries, int group, int groups, double weight) {
    total[HEAD + group]++;
    total[HEAD + groups + group] += weight;
    int start = start(groups) + group * entries.size * KINDS;
    for (int i = 0; i < entries.values.length; i++) {
      double value = entries.values[i];
      int at = start + entries.place(i) * KINDS;
      if (value != value) {
        total[at + MISSING]++;
        total[at + MISSING_WEIGHT] += weight;
      } else if (Double.isInfinite(value)) {
        total[at + INFINITE]++;
      } else if (value != 0) {
        total[at + HELD]++;
        if (weight > 0) {
          double gap = value - total[at + MEAN];
          total[at + TOTAL] += weight;
          total[at + MEAN] += gap * (weight / total[at + TOTAL]);
          total[at + SQUARES] += weight * gap * (value - total[at + MEAN]);
          total[at + LOW] = Math.min(total[at + LOW], value);
          total[at + HIGH] = Math.max(total[at + HIGH], value);
        }
      }
    }
  }

  private static double[] merge(double[] one, double[] other, int groups) {
    if (one.length == HEAD || (other.length > HEAD && other.length != one.length)) {
      return merge(other, one, groups, Math.min(one.length, other.length));
    }
    return merge(one, other, groups, other.length);
  }

  private static double[] merge(double[] into, double[] other, int groups, int length) {
    for (int i = ROWS; i <= BAD; i++) {
      into[i] += other[i];
    }
    into[LEAST] = Math.min(into[LEAST], other[LEAST]);
    into[MOST] = Math.max(into[MOST], other[MOST]);
    if (length == HEAD) {
      return into;
    }
    if (into.length != other.length) {
      return Arrays.copyOf(into, HEAD);
    }
    for (int i = HEAD; i < start(groups); i++) {
      into[i] += other[i];
    }
    for (int at = start(groups); at < into.length; at += KINDS) {
      mergeEntry(into, other, at);
    }
    return into;
  }

  /** As in {@link Moments}: Chan, Golub, LeVeque (1979). */
  private static void mergeEntry(double[] one, double[] other, int at) {
    for (int kind = HELD; kind <= MISSING_WEIGHT; kind++) {
      one[at + kind] += other[at + kind];
    }
    double added = other[at + TOTAL];
    if (added == 0) {
      return;
    }
    double held = one[at + TOTAL];
    double share = added / (held + added);
    double gap = other[at + MEAN] - one[at + MEAN];
    one[at + TOTAL] = held + added;
    one[at + MEAN] += gap * share;
    one[at + SQUARES] += other[at + SQUARES] + gap * (held * share) * gap;
    one[at + LOW] = Math.min(one[at + LOW], other[at + LOW]);
    one[at + HIGH] = Math.max(one[at + HIGH], other[at + HIGH]);
  }
}

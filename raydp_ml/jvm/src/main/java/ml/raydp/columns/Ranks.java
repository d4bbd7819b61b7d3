package ml.raydp.columns;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.spark.HashPartitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.storage.StorageLevel;
import scala.Tuple2;
import scala.Tuple3;

/**
 * What the descending order of scores decides, exactly; called from Python through py4j.
 *
 * <p>Tasks sort the rows that they read and keep them; a sample of these says where to cut them into
 * ranges of scores, which other tasks put together. An area under a curve follows from the areas of
 * the ranges and their totals; what is not linear, from a second look at the ranges. The rows are
 * read once, so that a DataFrame that changes when it is computed again does no harm.
 */
public final class Ranks {
  /** Rows that are sorted at a time. */
  private static final int RUN = 1 << 22;

  /** Rows of a range, about. */
  private static final int RANGE = 1 << 20;

  /** Scores of a run that say where to cut. */
  private static final int SAMPLE = 1 << 10;

  /**
   * Ranks the rows of {@code data}: the number of a problem, a score, whether the row is positive
   * (null takes no part), and a weight of at least 0.
   *
   * @param problems big-endian doubles: for each problem the part of the negative weight up to
   *     which its area is wanted, and how many points of its curve are
   * @return big-endian doubles: for each problem its positive and negative weight, how many scores
   *     differ, the area, that up to the part, the sum of precisions, how many points follow, and
   *     these: score, positive and negative weight so far
   */
  public byte[] run(Dataset<?> data, byte[] problems) {
    double[] wanted = Doubles.unpacked(problems);
    int count = wanted.length / 2;
    JavaRDD<InternalRow> rows = Rows.of(data);
    if (rows.getNumPartitions() == 0) {
      return Doubles.packed(new double[7 * count]);
    }
    JavaRDD<Tuple3<Integer, long[], double[]>> runs =
        rows.mapPartitions(input -> runs(input, count)).persist(StorageLevel.MEMORY_AND_DISK());
    JavaRDD<Tuple3<Integer, long[], double[]>> ranges = null;
    try {
      long[][] cuts = cuts(runs.map(Ranks::sample).collect(), count);
      int[] first = new int[count + 1];
      for (int i = 0; i < count; i++) {
        first[i + 1] = first[i] + cuts[i].length + 1;
      }
      int tasks = Math.min(first[count], Math.max(rows.getNumPartitions(), 2 * parallelism(rows)));
      JavaPairRDD<Integer, byte[]> pieces = runs.flatMapToPair(run -> pieces(run, cuts, first));
      ranges =
          pieces
              .partitionBy(new HashPartitioner(Math.max(1, tasks)))
              .mapPartitions(Ranks::joined)
              .persist(StorageLevel.MEMORY_AND_DISK());
      double[][] totals = new double[first[count]][4];
      for (double[] found : ranges.map(Ranks::totals).collect()) {
        totals[(int) found[0]] = Arrays.copyOfRange(found, 1, found.length);
      }
      return report(ranges, totals, first, wanted);
    } finally {
      runs.unpersist(false);
      if (ranges != null) {
        ranges.unpersist(false);
      }
    }
  }

  private static int parallelism(JavaRDD<?> rows) {
    return rows.context().defaultParallelism();
  }

  /** Sorts the rows of a partition, by problem, in runs that fit into memory. */
  private static Iterator<Tuple3<Integer, long[], double[]>> runs(
      Iterator<InternalRow> input, int count) {
    Run[] open = new Run[count];
    Arrays.setAll(open, i -> new Run());
    List<Tuple3<Integer, long[], double[]>> made = new ArrayList<>();
    long held = 0;
    while (input.hasNext()) {
      InternalRow row = input.next();
      double weight = row.isNullAt(3) ? 0 : row.getDouble(3);
      if (weight == 0 || row.isNullAt(1) || row.isNullAt(2)) {
        continue;
      }
      open[row.getInt(0)].add(
          ~OrderStatistics.key(row.getDouble(1)), row.getBoolean(2) ? weight : -weight);
      if (++held == RUN) {
        close(open, made);
        held = 0;
      }
    }
    close(open, made);
    return made.iterator();
  }

  private static void close(Run[] open, List<Tuple3<Integer, long[], double[]>> made) {
    for (int i = 0; i < open.length; i++) {
      if (open[i].size > 0) {
        open[i].collapse();
        made.add(new Tuple3<>(i, open[i].keys(), open[i].weights()));
        open[i] = new Run();
      }
    }
  }

  /** Returns the problem of a run, its size, and scores from all over it. */
  private static long[] sample(Tuple3<Integer, long[], double[]> run) {
    long[] keys = run._2();
    int count = Math.min(SAMPLE, keys.length / SAMPLE);
    long[] made = new long[2 + count];
    made[0] = run._1();
    made[1] = keys.length;
    for (int i = 0; i < count; i++) {
      made[2 + i] = keys[(int) ((2L * i + 1) * keys.length / (2L * count))];
    }
    return made;
  }

  /** Returns where each problem's ranges begin, but for the first one. */
  private static long[][] cuts(List<long[]> samples, int count) {
    long[][] cuts = new long[count][];
    for (int problem = 0; problem < count; problem++) {
      long rows = 0;
      TreeMap<Long, Double> weights = new TreeMap<>(Long::compareUnsigned);
      for (long[] sample : samples) {
        if (sample[0] == problem) {
          rows += sample[1];
          double each = sample[1] / Math.max(1.0, sample.length - 2);
          for (int i = 2; i < sample.length; i++) {
            weights.merge(sample[i], each, Double::sum);
          }
        }
      }
      long[] chosen = new long[(int) Math.min(weights.size(), rows / RANGE)];
      double step = (double) rows / (chosen.length + 1);
      double passed = 0;
      int made = 0;
      for (Map.Entry<Long, Double> sampled : weights.entrySet()) {
        passed += sampled.getValue();
        if (made < chosen.length && passed >= step * (made + 1)) {
          chosen[made++] = sampled.getKey();
        }
      }
      cuts[problem] = Arrays.copyOf(chosen, made);
    }
    return cuts;
  }

  /** Cuts a run into the parts that belong to ranges. */
  private static Iterator<Tuple2<Integer, byte[]>> pieces(
      Tuple3<Integer, long[], double[]> run, long[][] cuts, int[] first) {
    long[] keys = run._2();
    long[] ends = cuts[run._1()];
    List<Tuple2<Integer, byte[]>> made = new ArrayList<>();
    int from = 0;
    for (int i = 0; i <= ends.length; i++) {
      int to = from;
      if (i == ends.length) {
        to = keys.length;
      } else {
        int low = from;
        int high = keys.length;
        while (low < high) {
          int middle = (low + high) >>> 1;
          if (Long.compareUnsigned(keys[middle], ends[i]) < 0) {
            low = middle + 1;
          } else {
            high = middle;
          }
        }
        to = low;
      }
      if (to > from) {
        ByteBuffer packed = ByteBuffer.allocate(2 * Long.BYTES * (to - from));
        packed.asLongBuffer().put(keys, from, to - from);
        packed.position(Long.BYTES * (to - from));
        packed.asDoubleBuffer().put(run._3(), from, to - from);
        made.add(new Tuple2<>(first[run._1()] + i, packed.array()));
      }
      from = to;
    }
    return made.iterator();
  }

  /** Puts the parts of each range together. */
  private static Iterator<Tuple3<Integer, long[], double[]>> joined(
      Iterator<Tuple2<Integer, byte[]>> pieces) {
    Map<Integer, Run> ranges = new TreeMap<>();
    while (pieces.hasNext()) {
      Tuple2<Integer, byte[]> piece = pieces.next();
      ranges.computeIfAbsent(piece._1(), i -> new Run()).addPacked(piece._2());
    }
    List<Tuple3<Integer, long[], double[]>> made = new ArrayList<>();
    for (Map.Entry<Integer, Run> range : ranges.entrySet()) {
      Run run = range.getValue();
      run.collapse();
      made.add(new Tuple3<>(range.getKey(), run.keys(), run.weights()));
    }
    return made.iterator();
  }

  /** Returns the number of a range, its positive and negative weight, scores and area. */
  private static double[] totals(Tuple3<Integer, long[], double[]> range) {
    Steps steps = new Steps(range, 0, 0);
    double area = 0;
    double count = 0;
    while (steps.next()) {
      area += steps.down * (steps.passedUp - steps.up / 2);
      count++;
    }
    return new double[] {range._1(), steps.passedUp, steps.passedDown, count, area};
  }

  private static byte[] report(
      JavaRDD<Tuple3<Integer, long[], double[]>> ranges,
      double[][] totals,
      int[] first,
      double[] wanted) {
    int count = first.length - 1;
    double[][] sums = new double[count][4];
    // Per range: the weights and scores before it, the negative weight of the limit, and between
    // how many scores lies a point of the curve.
    double[][] before = new double[totals.length][];
    for (int problem = 0; problem < count; problem++) {
      double[] sum = sums[problem];
      for (int i = first[problem]; i < first[problem + 1]; i++) {
        before[i] = new double[] {sum[0], sum[1], sum[2], 0, 0, 0};
        sum[3] += totals[i][3] + totals[i][1] * sum[0];
        for (int kind = 0; kind < 3; kind++) {
          sum[kind] += totals[i][kind];
        }
      }
      double points = wanted[2 * problem + 1];
      for (int i = first[problem]; i < first[problem + 1]; i++) {
        before[i][3] = wanted[2 * problem] * sum[1];
        before[i][4] = points == 0 ? 0 : Math.max(1, Math.ceil(sum[2] / points));
        before[i][5] = sum[2];
      }
    }
    double[][] found = new double[totals.length][2];
    for (double[] item : ranges.map(range -> seen(range, before[range._1()])).collect()) {
      found[(int) item[0]] = Arrays.copyOfRange(item, 1, item.length);
    }
    List<double[]> parts = new ArrayList<>();
    for (int problem = 0; problem < count; problem++) {
      double[] head = new double[7];
      System.arraycopy(sums[problem], 0, head, 0, 4);
      parts.add(head);
      for (int i = first[problem]; i < first[problem + 1]; i++) {
        head[4] += found[i][0];
        head[5] += found[i][1];
        double[] points = Arrays.copyOfRange(found[i], 2, found[i].length);
        head[6] += points.length / 3;
        parts.add(points);
      }
    }
    return Doubles.packed(parts.stream().flatMapToDouble(Arrays::stream).toArray());
  }

  /** Returns the number of a range, its area up to the limit, its precisions, and points. */
  private static double[] seen(Tuple3<Integer, long[], double[]> range, double[] before) {
    Steps steps = new Steps(range, before[0], before[1]);
    double index = before[2];
    double area = 0;
    double precision = 0;
    Run.Numbers points = new Run.Numbers();
    while (steps.next()) {
      double width = Math.min(steps.passedDown, before[3]) - (steps.passedDown - steps.down);
      if (steps.down > 0 && width > 0) {
        double rise = steps.up * width / steps.down;
        area += width * (steps.passedUp - steps.up + rise / 2);
      }
      precision += steps.up * steps.passedUp / (steps.passedUp + steps.passedDown);
      index++;
      if (before[4] > 0 && (index % before[4] == 0 || index == before[5])) {
        points.add(OrderStatistics.value(~steps.key));
        points.add(steps.passedUp);
        points.add(steps.passedDown);
      }
    }
    double[] made = new double[3 + points.size];
    made[0] = range._1();
    made[1] = area;
    made[2] = precision;
    System.arraycopy(points.items, 0, made, 3, points.size);
    return made;
  }

  /** Goes through the scores of a range, downwards. */
  private static final class Steps {
    private final long[] keys;
    private final double[] weights;
    private int at;
    private long key;
    private double up;
    private double down;
    private double passedUp;
    private double passedDown;

    Steps(Tuple3<Integer, long[], double[]> range, double passedUp, double passedDown) {
      keys = range._2();
      weights = range._3();
      this.passedUp = passedUp;
      this.passedDown = passedDown;
    }

    boolean next() {
      if (at == keys.length) {
        return false;
      }
      key = keys[at];
      up = 0;
      down = 0;
      for (; at < keys.length && keys[at] == key; at++) {
        if (weights[at] > 0) {
          up += weights[at];
        } else {
          down -= weights[at];
        }
      }
      passedUp += up;
      passedDown += down;
      return true;
    }
  }
}

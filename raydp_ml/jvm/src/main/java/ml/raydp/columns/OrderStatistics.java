package ml.raydp.columns;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;

/**
 * The k-th smallest values of columns of doubles, exactly; called from Python through py4j.
 *
 * <p>A radix selection: each pass counts the next bits of the values that begin with the bits known
 * of a wanted one, until so few are left that they fit into one array. Four passes are usual, where
 * a sort would move every value through a shuffle. What travels is small.
 */
public final class OrderStatistics {
  private static final int BITS = 16;

  /** Counters of the first pass, 16 MB of them in a task, beyond which it takes fewer bits. */
  private static final long FIRST = 1 << 21;

  /** Counters of the others. Few of the first are not zero, but most of these: all travel. */
  private static final long LATER = 1 << 13;

  /** So many values are gathered rather than counted. */
  private static final long FEW = 1 << 12;

  /**
   * Selects from {@code data}, whose columns must all be doubles; null and NaN are left out.
   *
   * @param ranks big-endian longs: for each column how many values are wanted, then their places
   *     from 0, ascending
   * @return big-endian doubles: the wanted values of the first column, then those of the second, and so on
   * @throws IllegalStateException if a column has not as many values as a place says
   */
  public byte[] run(Dataset<?> data, byte[] ranks) {
    JavaRDD<InternalRow> rows = Rows.of(data);
    List<Search> searches = new ArrayList<>();
    ByteBuffer packed = ByteBuffer.wrap(ranks);
    for (int i = 0; i < data.schema().length(); i++) {
      searches.add(new Search(packed));
    }
    if (rows.getNumPartitions() > 0) {
      int known = 0;
      while (known < Long.SIZE && candidates(searches, known) > FEW) {
        known += narrow(rows, searches, known);
      }
      if (known < Long.SIZE) {
        gather(rows, searches, known);
      }
    }
    return Doubles.packed(
        searches.stream().flatMapToDouble(search -> Arrays.stream(search.found())).toArray());
  }

  private static long candidates(List<Search> searches, int known) {
    return known == 0
        ? Long.MAX_VALUE
        : searches.stream().flatMap(s -> s.buckets.stream()).mapToLong(b -> b.count).sum();
  }

  /** Counts the next bits of all candidates, and returns how many bits these were. */
  private static int narrow(JavaRDD<InternalRow> rows, List<Search> searches, int known) {
    long active = searches.stream().mapToLong(search -> search.buckets.size()).sum();
    int bits = Math.min(BITS, Long.SIZE - known);
    while (bits > 4 && active << bits > (known == 0 ? FIRST : LATER)) {
      bits--;
    }
    int next = bits;
    long[][] prefixes = prefixes(searches);
    byte[] packed =
        rows.mapPartitions(in -> List.of(packed(count(in, prefixes, known, next))).iterator())
            .treeReduce((a, b) -> packed(added(unpacked(a), unpacked(b))), Trees.depth(rows));
    long[] counted = unpacked(packed);
    int at = 0;
    for (Search search : searches) {
      at = search.narrow(counted, at, next);
    }
    return next;
  }

  private static void gather(JavaRDD<InternalRow> rows, List<Search> searches, int known) {
    long[][] prefixes = prefixes(searches);
    long[] keys =
        rows.mapPartitions(in -> List.of(matching(in, prefixes, known)).iterator())
            .treeReduce(OrderStatistics::joined, Trees.depth(rows));
    int at = 0;
    for (Search search : searches) {
      at = search.pick(keys, at, known);
    }
  }

  private static long[][] prefixes(List<Search> searches) {
    return searches.stream()
        .map(search -> search.buckets.stream().mapToLong(bucket -> bucket.prefix).toArray())
        .toArray(long[][]::new);
  }

  /** Maps doubles to longs that are, as unsigned numbers, in the same order. */
  static long key(double value) {
    // (Adding 0 makes the negative zero the positive one, which it equals.)
    long bits = Double.doubleToRawLongBits(value + 0.0);
    return bits < 0 ? ~bits : bits | Long.MIN_VALUE;
  }

  static double value(long key) {
    return Double.longBitsToDouble(key < 0 ? key & Long.MAX_VALUE : ~key);
  }

  private static int place(long[] prefixes, long key, int known) {
    if (prefixes.length == 0) {
      return -1;
    }
    // With no bit known there is one bucket, of all values. Prefixes of less than 64 bits are no
    // negative numbers, so that they are in order.
    return known == 0 ? 0 : Arrays.binarySearch(prefixes, key >>> (Long.SIZE - known));
  }

  private static long[] count(Iterator<InternalRow> in, long[][] prefixes, int known, int bits) {
    long[][] counters = new long[prefixes.length][];
    for (int i = 0; i < counters.length; i++) {
      counters[i] = new long[prefixes[i].length << bits];
    }
    int shift = Long.SIZE - known - bits;
    long mask = (1L << bits) - 1;
    while (in.hasNext()) {
      InternalRow row = in.next();
      for (int i = 0; i < counters.length; i++) {
        if (!row.isNullAt(i)) {
          double value = row.getDouble(i);
          if (value == value) {
            long key = key(value);
            int place = place(prefixes[i], key, known);
            if (place >= 0) {
              counters[i][place << bits | (int) (key >>> shift & mask)]++;
            }
          }
        }
      }
    }
    return sparse(counters);
  }

  /** Per column: how many counters are not zero, then each one's index and value. */
  private static long[] sparse(long[][] counters) {
    int size = counters.length;
    for (long[] column : counters) {
      size += 2 * (int) Arrays.stream(column).filter(count -> count != 0).count();
    }
    long[] made = new long[size];
    int at = 0;
    for (long[] column : counters) {
      int start = at++;
      for (int index = 0; index < column.length; index++) {
        if (column[index] != 0) {
          made[at++] = index;
          made[at++] = column[index];
        }
      }
      made[start] = (at - start - 1) / 2;
    }
    return made;
  }

  /** Writes numbers, most of them small, in groups of 7 bits, the last of which has the top bit. */
  static byte[] packed(long[] numbers) {
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    for (long number : numbers) {
      long rest = number;
      for (; rest > 0x7f; rest >>>= 7) {
        made.write((int) (rest & 0x7f));
      }
      made.write((int) (rest | 0x80));
    }
    return made.toByteArray();
  }

  static long[] unpacked(byte[] packed) {
    Keys made = new Keys();
    long number = 0;
    int shift = 0;
    for (byte group : packed) {
      number |= (group & 0x7fL) << shift;
      shift += 7;
      if (group < 0) {
        made.add(number);
        number = 0;
        shift = 0;
      }
    }
    return made.toArray();
  }

  private static long[] added(long[] one, long[] other) {
    long[] made = new long[one.length + other.length];
    int at = 0;
    int a = 0;
    int b = 0;
    while (a < one.length) {
      int endOfA = a + 1 + 2 * (int) one[a++];
      int endOfB = b + 1 + 2 * (int) other[b++];
      int start = at++;
      while (a < endOfA || b < endOfB) {
        boolean first = b == endOfB || (a < endOfA && one[a] <= other[b]);
        boolean second = a == endOfA || (b < endOfB && other[b] <= one[a]);
        made[at] = first ? one[a] : other[b];
        made[at + 1] = (first ? one[a + 1] : 0) + (second ? other[b + 1] : 0);
        a += first ? 2 : 0;
        b += second ? 2 : 0;
        at += 2;
      }
      made[start] = (at - start - 1) / 2;
    }
    return Arrays.copyOf(made, at);
  }

  /** Per column: how many keys are candidates, then these. */
  private static long[] matching(Iterator<InternalRow> in, long[][] prefixes, int known) {
    Keys[] found = new Keys[prefixes.length];
    Arrays.setAll(found, i -> new Keys());
    while (in.hasNext()) {
      InternalRow row = in.next();
      for (int i = 0; i < found.length; i++) {
        if (!row.isNullAt(i)) {
          double value = row.getDouble(i);
          if (value == value) {
            long key = key(value);
            if (place(prefixes[i], key, known) >= 0) {
              found[i].add(key);
            }
          }
        }
      }
    }
    Keys made = new Keys();
    for (Keys keys : found) {
      made.add(keys.size);
      made.addAll(keys.items, 0, keys.size);
    }
    return made.toArray();
  }

  private static long[] joined(long[] one, long[] other) {
    Keys made = new Keys();
    int a = 0;
    int b = 0;
    while (a < one.length) {
      int ofA = (int) one[a++];
      int ofB = (int) other[b++];
      made.add(ofA + ofB);
      made.addAll(one, a, ofA);
      made.addAll(other, b, ofB);
      a += ofA;
      b += ofB;
    }
    return made.toArray();
  }

  /** A list of longs that are not boxed. */
  private static final class Keys {
    private long[] items = new long[16];
    private int size;

    void add(long key) {
      if (size == items.length) {
        items = Arrays.copyOf(items, 2 * size);
      }
      items[size++] = key;
    }

    void addAll(long[] source, int from, int count) {
      if (size + count > items.length) {
        items = Arrays.copyOf(items, Math.max(2 * items.length, size + count));
      }
      System.arraycopy(source, from, items, size, count);
      size += count;
    }

    long[] toArray() {
      return Arrays.copyOf(items, size);
    }
  }

  /** Values that begin with the same bits, some of which are wanted. */
  private static final class Bucket {
    private final long prefix;
    private final long below;
    private final long count;
    private final int firstRank;
    private final int endRank;

    Bucket(long prefix, long below, long count, int firstRank, int endRank) {
      this.prefix = prefix;
      this.below = below;
      this.count = count;
      this.firstRank = firstRank;
      this.endRank = endRank;
    }
  }

  /** What is known of the wanted values of one column. */
  private static final class Search {
    private final long[] ranks;
    private final double[] picked;
    private List<Bucket> buckets = new ArrayList<>();

    Search(ByteBuffer packed) {
      ranks = new long[(int) packed.getLong()];
      for (int i = 0; i < ranks.length; i++) {
        ranks[i] = packed.getLong();
      }
      picked = new double[ranks.length];
      if (ranks.length > 0) {
        buckets.add(new Bucket(0, 0, Long.MAX_VALUE, 0, ranks.length));
      }
    }

    /** Reads this column's counters from {@code at}, and returns where they end. */
    int narrow(long[] counted, int at, int bits) {
      int end = at + 1 + 2 * (int) counted[at++];
      List<Bucket> narrower = new ArrayList<>();
      for (int index = 0; index < buckets.size(); index++) {
        Bucket bucket = buckets.get(index);
        long below = bucket.below;
        int rank = bucket.firstRank;
        for (; at < end && counted[at] >> bits == index; at += 2) {
          int first = rank;
          while (rank < bucket.endRank && ranks[rank] < below + counted[at + 1]) {
            rank++;
          }
          if (rank > first) {
            long digit = counted[at] & (1L << bits) - 1;
            long prefix = bucket.prefix << bits | digit;
            narrower.add(new Bucket(prefix, below, counted[at + 1], first, rank));
          }
          below += counted[at + 1];
        }
        checkComplete(rank, bucket);
      }
      buckets = narrower;
      return at;
    }

    /** Reads this column's keys from {@code at}, and returns where they end. */
    int pick(long[] keys, int at, int known) {
      int end = at + 1 + (int) keys[at++];
      // (As signed numbers, keys with the first bit would come before those without.)
      long[] sorted = Arrays.copyOfRange(keys, at, end);
      for (int i = 0; i < sorted.length; i++) {
        sorted[i] ^= Long.MIN_VALUE;
      }
      Arrays.sort(sorted);
      int next = 0;
      for (Bucket bucket : buckets) {
        int start = next;
        while (next < sorted.length
            && (sorted[next] ^ Long.MIN_VALUE) >>> (Long.SIZE - known) == bucket.prefix) {
          next++;
        }
        int rank = bucket.firstRank;
        while (rank < bucket.endRank && start + ranks[rank] - bucket.below < next) {
          int place = (int) (start + ranks[rank] - bucket.below);
          picked[rank++] = value(sorted[place] ^ Long.MIN_VALUE);
        }
        checkComplete(rank, bucket);
      }
      buckets = List.of();
      return end;
    }

    double[] found() {
      for (Bucket bucket : buckets) {
        Arrays.fill(picked, bucket.firstRank, bucket.endRank, value(bucket.prefix));
      }
      return picked;
    }

    private void checkComplete(int rank, Bucket bucket) {
      if (rank < bucket.endRank) {
        throw new IllegalStateException(
            "The rows of the DataFrame changed from one pass to the next: there is no value of"
                + " rank "
                + ranks[rank]
                + " any more. Cache or write it first.");
      }
    }
  }
}

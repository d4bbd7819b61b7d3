package ml.raydp.columns;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Keys, compared as unsigned numbers, with weights, whose signs tell the classes of rows apart. Its
 * equal keys of one class become one.
 */
final class Run {
  private static final int BITS = 11;
  private static final int DIGITS = (Long.SIZE + BITS - 1) / BITS;
  private static final int MASK = (1 << BITS) - 1;

  int size;
  private long[] keys = new long[16];
  private double[] weights = new double[16];

  void add(long key, double weight) {
    reserve(1);
    keys[size] = key;
    weights[size++] = weight;
  }

  /** Adds keys and then their weights, as big-endian bytes. */
  void addPacked(byte[] packed) {
    int count = packed.length / (2 * Long.BYTES);
    reserve(count);
    ByteBuffer buffer = ByteBuffer.wrap(packed);
    buffer.asLongBuffer().get(keys, size, count);
    buffer.position(Long.BYTES * count);
    buffer.asDoubleBuffer().get(weights, size, count);
    size += count;
  }

  private void reserve(int count) {
    if (size + count > keys.length) {
      int length = Math.max(size + count, keys.length + (keys.length >> 1));
      keys = Arrays.copyOf(keys, length);
      weights = Arrays.copyOf(weights, length);
    }
  }

  long[] keys() {
    return Arrays.copyOf(keys, size);
  }

  double[] weights() {
    return Arrays.copyOf(weights, size);
  }

  /** Sorts by key, and adds up the weights of equal keys and signs. */
  void collapse() {
    sort();
    int made = 0;
    for (int at = 0; at < size; ) {
      long key = keys[at];
      double up = 0;
      double down = 0;
      for (; at < size && keys[at] == key; at++) {
        if (weights[at] > 0) {
          up += weights[at];
        } else {
          down += weights[at];
        }
      }
      if (up > 0) {
        keys[made] = key;
        weights[made++] = up;
      }
      if (down < 0) {
        keys[made] = key;
        weights[made++] = down;
      }
    }
    size = made;
  }

  /** A radix sort from the last digit on, which leaves out digits that are the same in all keys. */
  private void sort() {
    int[][] counts = new int[DIGITS][1 << BITS];
    for (int i = 0; i < size; i++) {
      for (int digit = 0; digit < DIGITS; digit++) {
        counts[digit][digit(keys[i], digit)]++;
      }
    }
    long[] otherKeys = new long[size];
    double[] otherWeights = new double[size];
    for (int digit = 0; digit < DIGITS; digit++) {
      int[] place = counts[digit];
      if (size == 0 || place[digit(keys[0], digit)] == size) {
        continue;
      }
      int sum = 0;
      for (int value = 0; value < place.length; value++) {
        int count = place[value];
        place[value] = sum;
        sum += count;
      }
      for (int i = 0; i < size; i++) {
        int to = place[digit(keys[i], digit)]++;
        otherKeys[to] = keys[i];
        otherWeights[to] = weights[i];
      }
      long[] sortedKeys = otherKeys;
      otherKeys = keys;
      keys = sortedKeys;
      double[] sortedWeights = otherWeights;
      otherWeights = weights;
      weights = sortedWeights;
    }
  }

  private static int digit(long key, int digit) {
    return (int) (key >>> (digit * BITS)) & MASK;
  }

  /** A list of doubles that are not boxed. */
  static final class Numbers {
    double[] items = new double[16];
    int size;

    void add(double item) {
      if (size == items.length) {
        items = Arrays.copyOf(items, 2 * size);
      }
      items[size++] = item;
    }
  }
}

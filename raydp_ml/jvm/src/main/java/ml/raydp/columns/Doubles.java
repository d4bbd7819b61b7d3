package ml.raydp.columns;

import java.nio.ByteBuffer;

/** Doubles as big-endian bytes, which py4j hands over whole; an array of doubles one by one. */
final class Doubles {
  private Doubles() {}

  static byte[] packed(double[] values) {
    ByteBuffer made = ByteBuffer.allocate(Double.BYTES * values.length);
    made.asDoubleBuffer().put(values);
    return made.array();
  }

  static double[] unpacked(byte[] packed) {
    double[] made = new double[packed.length / Double.BYTES];
    ByteBuffer.wrap(packed).asDoubleBuffer().get(made);
    return made;
  }
}

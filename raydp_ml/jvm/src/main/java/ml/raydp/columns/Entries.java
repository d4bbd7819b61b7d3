package ml.raydp.columns;

import org.apache.spark.sql.catalyst.InternalRow;

/** What a {@code pyspark.ml} vector holds, read from the struct that Spark stores it as. */
final class Entries {
  private static final int FIELDS = 4;

  final int size;
  final double[] values;

  /** Null for a dense vector, which holds a value for every place. */
  private final int[] places;

  private Entries(int size, int[] places, double[] values) {
    this.size = size;
    this.places = places;
    this.values = values;
  }

  static Entries of(InternalRow row, int column) {
    InternalRow vector = row.getStruct(column, FIELDS);
    double[] values = vector.getArray(3).toDoubleArray();
    return vector.getByte(0) == 1
        ? new Entries(values.length, null, values)
        : new Entries(vector.getInt(1), vector.getArray(2).toIntArray(), values);
  }

  int place(int i) {
    return places == null ? i : places[i];
  }
}

package ml.raydp.columns;

import java.util.Arrays;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.SparseVector;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;

/** The SQL function that keeps some entries of a vector, each times a factor, within bounds. */
public final class VectorSelection implements UDF1<Vector, Vector> {
  /** For each entry its place among those that are kept, or -1. */
  private final int[] places;

  private final double[] factors;
  private final double bound;
  private final boolean allowMissing;
  private final boolean allowInfinite;
  private final int kept;

  public VectorSelection() {
    this(new double[0], 0, true, false);
  }

  private VectorSelection(
      double[] factors, double bound, boolean allowMissing, boolean allowInfinite) {
    this.factors = factors;
    this.bound = bound;
    this.allowMissing = allowMissing;
    this.allowInfinite = allowInfinite;
    places = new int[factors.length];
    int next = 0;
    for (int i = 0; i < places.length; i++) {
      places[i] = factors[i] == 0 ? -1 : next++;
    }
    kept = next;
  }

  /**
   * Makes a selection known to a session; called from Python through py4j.
   *
   * @param factors big-endian doubles, 0 for an entry that is left out
   * @param bound the greatest absolute value of a result
   * @param allowMissing whether a value may be NaN
   * @param allowInfinite whether a value may be anything
   */
  public void register(
      SparkSession spark,
      String name,
      byte[] factors,
      double bound,
      boolean allowMissing,
      boolean allowInfinite) {
    if (Registry.isKnown(spark, name)) {
      return;
    }
    VectorSelection made =
        new VectorSelection(Doubles.unpacked(factors), bound, allowMissing, allowInfinite);
    spark.udf().register(name, made, SQLDataTypes.VectorType());
  }

  static void checkSize(Vector vector, int size) {
    if (vector.size() != size) {
      throw new RefusedValue(
          "A vector has "
              + vector.size()
              + " entries, and those that the transformer was fitted with had "
              + size
              + ".");
    }
  }

  /** Refuses what scikit-learn refuses in a sparse matrix. */
  static void checkValues(SparseVector vector, boolean allowMissing) {
    double[] values = vector.values();
    for (int i = 0; i < values.length; i++) {
      if (Double.isInfinite(values[i]) || (values[i] != values[i] && !allowMissing)) {
        throw new RefusedValue(
            "A vector holds "
                + values[i]
                + " as its entry "
                + vector.indices()[i]
                + ", and the transformer takes no "
                + (allowMissing ? "infinite" : "missing or infinite")
                + " values. Replace it before the vectors are made.");
      }
    }
  }

  @Override
  public Vector call(Vector vector) {
    if (vector == null) {
      return null;
    }
    checkSize(vector, places.length);
    SparseVector held = vector.toSparse();
    if (!allowInfinite) {
      checkValues(held, allowMissing);
    }
    int[] indices = held.indices();
    double[] values = held.values();
    int[] at = new int[indices.length];
    double[] made = new double[indices.length];
    int count = 0;
    for (int i = 0; i < indices.length; i++) {
      int place = places[indices[i]];
      if (place >= 0) {
        at[count] = place;
        made[count++] = Math.max(-bound, Math.min(bound, values[i] * factors[indices[i]]));
      }
    }
    return Vectors.sparse(kept, Arrays.copyOf(at, count), Arrays.copyOf(made, count));
  }
}

package ml.raydp.columns;

import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.api.java.UDF3;

/** The SQL function that returns the values of a vector of some size, zeros among them. */
public final class VectorValues implements UDF3<Vector, Integer, String, double[]> {
  @Override
  public double[] call(Vector vector, Integer size, String what) {
    if (vector == null) {
      return null;
    }
    if (vector.size() != size) {
      throw new RefusedValue(
          what
              + " must have "
              + size
              + " elements, as in fit, and one has "
              + vector.size()
              + ". Pad or cut them, or drop such rows.");
    }
    return vector.toArray();
  }
}

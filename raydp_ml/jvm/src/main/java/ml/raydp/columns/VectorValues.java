package ml.raydp.columns;

import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.api.java.UDF2;

/**
 * The SQL function that returns the values of a vector of some size, zeros among them; null for
 * one of another size. A negative size stands for any.
 */
public final class VectorValues implements UDF2<Vector, Integer, double[]> {
  @Override
  public double[] call(Vector vector, Integer size) {
    boolean fits = vector != null && (size < 0 || vector.size() == size);
    return fits ? vector.toArray() : null;
  }
}

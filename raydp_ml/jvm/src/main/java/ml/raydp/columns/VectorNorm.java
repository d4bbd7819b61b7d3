package ml.raydp.columns;

import org.apache.spark.ml.linalg.SparseVector;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.api.java.UDF2;

/** The SQL function that divides a vector by its norm: "l1", "l2" or "max". */
public final class VectorNorm implements UDF2<Vector, String, Vector> {
  @Override
  public Vector call(Vector vector, String kind) {
    if (vector == null) {
      return null;
    }
    double p = kind.equals("max") ? Double.POSITIVE_INFINITY : kind.equals("l1") ? 1 : 2;
    SparseVector held = vector.toSparse();
    VectorSelection.checkValues(held, false);
    double norm = Vectors.norm(held, p);
    double[] made = held.values().clone();
    for (int i = 0; i < made.length && norm != 0; i++) {
      made[i] /= norm;
    }
    return Vectors.sparse(held.size(), held.indices(), made);
  }
}

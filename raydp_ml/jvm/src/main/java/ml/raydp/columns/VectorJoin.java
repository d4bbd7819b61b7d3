package ml.raydp.columns;

import java.util.Arrays;
import org.apache.spark.ml.linalg.SparseVector;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.api.java.UDF1;
import scala.collection.Seq;

/** The SQL function that puts vectors one after the other; null where one of them is. */
public final class VectorJoin implements UDF1<Seq<Vector>, Vector> {
  @Override
  public Vector call(Seq<Vector> vectors) {
    int[] places = new int[0];
    double[] values = new double[0];
    int size = 0;
    for (int i = 0; i < vectors.size(); i++) {
      Vector vector = vectors.apply(i);
      if (vector == null) {
        return null;
      }
      SparseVector held = vector.toSparse();
      int[] indices = held.indices();
      int start = places.length;
      places = Arrays.copyOf(places, start + indices.length);
      values = Arrays.copyOf(values, places.length);
      for (int j = 0; j < indices.length; j++) {
        places[start + j] = size + indices[j];
        values[start + j] = held.values()[j];
      }
      size += held.size();
    }
    return Vectors.sparse(size, places, values);
  }
}

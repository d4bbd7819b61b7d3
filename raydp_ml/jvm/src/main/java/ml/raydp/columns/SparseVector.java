package ml.raydp.columns;

import java.util.Arrays;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.api.java.UDF3;
import scala.collection.Seq;

/**
 * The SQL function that makes a sparse vector of a size, indices and values. Null indices and
 * zeros are left out; without values, every value is 1.
 */
public final class SparseVector implements UDF3<Integer, Seq<Integer>, Seq<Double>, Vector> {
  @Override
  public Vector call(Integer size, Seq<Integer> indices, Seq<Double> values) {
    if (indices == null) {
      return null;
    }
    int[] places = new int[indices.size()];
    double[] made = new double[places.length];
    int count = 0;
    for (int i = 0; i < places.length; i++) {
      Integer place = indices.apply(i);
      Double value = values == null ? Double.valueOf(1) : values.apply(i);
      // Null stands for missing, which a vector can hold as NaN only.
      double held = value == null ? Double.NaN : value;
      if (place != null && held != 0) {
        places[count] = place;
        made[count++] = held;
      }
    }
    return Vectors.sparse(size, Arrays.copyOf(places, count), Arrays.copyOf(made, count));
  }
}

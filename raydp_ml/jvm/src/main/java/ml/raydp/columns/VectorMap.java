package ml.raydp.columns;

import org.apache.spark.ml.linalg.SparseVector;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.DataTypes;

/** The SQL function that multiplies a vector by a matrix. */
public final class VectorMap implements UDF1<Vector, double[]> {
  private final int outputs;
  private final double[] weights;

  public VectorMap() {
    this(0, new double[0]);
  }

  private VectorMap(int outputs, double[] weights) {
    this.outputs = outputs;
    this.weights = weights;
  }

  /**
   * Makes a map known to a session; called from Python through py4j.
   *
   * @param matrix big-endian doubles by rows, one row for each entry of the vectors
   */
  public void register(SparkSession spark, String name, int outputs, byte[] matrix) {
    if (Registry.isKnown(spark, name)) {
      return;
    }
    VectorMap map = new VectorMap(outputs, Doubles.unpacked(matrix));
    spark.udf().register(name, map, DataTypes.createArrayType(DataTypes.DoubleType, false));
  }

  @Override
  public double[] call(Vector vector) {
    if (vector == null) {
      return null;
    }
    VectorSelection.checkSize(vector, weights.length / outputs);
    SparseVector held = vector.toSparse();
    VectorSelection.checkValues(held, false);
    int[] places = held.indices();
    double[] made = new double[outputs];
    for (int i = 0; i < places.length; i++) {
      double value = held.values()[i];
      int at = places[i] * outputs;
      for (int k = 0; k < outputs; k++) {
        made[k] += value * weights[at + k];
      }
    }
    return made;
  }
}

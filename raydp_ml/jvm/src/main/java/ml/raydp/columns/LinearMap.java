package ml.raydp.columns;

import java.nio.ByteBuffer;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.DataTypes;
import scala.collection.Seq;

/**
 * The SQL function that multiplies an array by a matrix and adds constants. As SQL text, the same
 * would be compiled into methods that are too large for the JVM's just-in-time compiler.
 */
public final class LinearMap implements UDF1<Seq<Double>, double[]> {
  private final int inputs;
  private final double[] weights;
  private final double[] constants;

  public LinearMap() {
    this(0, new double[0], new double[0]);
  }

  private LinearMap(int inputs, double[] weights, double[] constants) {
    this.inputs = inputs;
    this.weights = weights;
    this.constants = constants;
  }

  /**
   * Makes a map known to a session; called from Python through py4j.
   *
   * @param matrix big-endian doubles: the weights by outputs, then the constants
   */
  public void register(SparkSession spark, String name, int inputs, int outputs, byte[] matrix) {
    if (Registry.isKnown(spark, name)) {
      return;
    }
    double[] weights = new double[inputs * outputs];
    double[] constants = new double[outputs];
    ByteBuffer.wrap(matrix).asDoubleBuffer().get(weights).get(constants);
    LinearMap map = new LinearMap(inputs, weights, constants);
    spark.udf().register(name, map, DataTypes.createArrayType(DataTypes.DoubleType, false));
  }

  @Override
  public double[] call(Seq<Double> row) {
    double[] values = new double[inputs];
    for (int i = 0; i < inputs; i++) {
      Double value = row.apply(i);
      values[i] = value == null ? Double.NaN : value;
    }
    double[] made = constants.clone();
    for (int k = 0, at = 0; k < made.length; k++) {
      for (int i = 0; i < inputs; i++) {
        made[k] += values[i] * weights[at++];
      }
    }
    return made;
  }
}

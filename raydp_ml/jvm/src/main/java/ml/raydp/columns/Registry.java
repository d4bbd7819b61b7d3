package ml.raydp.columns;

import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.sql.SparkSession;

/** Makes our SQL functions known to a session; called from Python through py4j. */
public final class Registry {
  public void register(SparkSession spark) {
    spark.udf().register("raydp_ml_vector", new SparseVector(), SQLDataTypes.VectorType());
  }
}

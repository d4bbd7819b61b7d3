package ml.raydp.columns;

import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;

/** Makes our SQL functions known to a session; called from Python through py4j. */
public final class Registry {
  public void register(SparkSession spark) {
    if (isKnown(spark, "raydp_ml_vector")) {
      return;
    }
    DataType vector = SQLDataTypes.VectorType();
    spark.udf().register("raydp_ml_vector", new SparseVector(), vector);
    spark.udf().register("raydp_ml_joined", new VectorJoin(), vector);
    spark.udf().register("raydp_ml_unit", new VectorNorm(), vector);
    DataType values = DataTypes.createArrayType(DataTypes.DoubleType, false);
    spark.udf().register("raydp_ml_values", new VectorValues(), values);
  }

  /** Spark warns of a function that replaces another, were it the same. */
  static boolean isKnown(SparkSession spark, String name) {
    return spark.catalog().functionExists(name);
  }
}

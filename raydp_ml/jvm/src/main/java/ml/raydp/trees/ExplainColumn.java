package ml.raydp.trees;

import java.nio.ByteBuffer;
import java.util.List;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;

/** A column of what each feature adds to a prediction, computed by Spark's generated code. */
public final class ExplainColumn {
  /**
   * Makes the column; called from Python through py4j.
   *
   * @param features SQL of an array of floats, one for each feature
   * @param texts SQL of an array of strings, one for each feature with categories
   * @param categories as {@link Categories} reads them
   * @param packed as {@link ShapleyForest} reads it
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "one" array for a row, or one "each" for a group of trees
   */
  public Column column(
      SparkSession spark,
      String features,
      String texts,
      byte[] categories,
      byte[] packed,
      double missing,
      String method) {
    Function function = new Function(spark, packed, categories, missing);
    return RowCall.column(spark, List.of(features, texts), function, method, type(method));
  }

  static DataType type(String method) {
    DataType one = DataTypes.createArrayType(DataTypes.DoubleType, false);
    return method.equals("each") ? DataTypes.createArrayType(one, false) : one;
  }

  /** What is called for each row. */
  public static final class Function extends RowFunction<ShapleyForest> {
    private static final long serialVersionUID = 1;

    Function(SparkSession spark, byte[] trees, byte[] categories, double missing) {
      super(spark, trees, categories, missing);
    }

    public ArrayData one(ArrayData row, ArrayData texts) {
      return UnsafeArrayData.fromPrimitiveArray(values(row, texts)[0]);
    }

    public ArrayData each(ArrayData row, ArrayData texts) {
      double[][] values = values(row, texts);
      Object[] made = new Object[values.length];
      for (int g = 0; g < made.length; g++) {
        made[g] = UnsafeArrayData.fromPrimitiveArray(values[g]);
      }
      return new GenericArrayData(made);
    }

    private double[][] values(ArrayData row, ArrayData texts) {
      return forest().values(cells(row, texts, forest().features));
    }

    @Override
    ShapleyForest unpacked(ByteBuffer packed) {
      return new ShapleyForest(packed);
    }

    @Override
    public String toString() {
      return "xgboost_contributions";
    }
  }
}

package ml.raydp.trees;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
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
   * @param features SQL of an array of floats
   * @param packed as {@link ShapleyForest} reads it
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "one" array for a row, or one "each" for a group of trees
   */
  public Column column(
      SparkSession spark, String features, byte[] packed, double missing, String method) {
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    Function function = new Function(context.broadcast(packed), (float) missing);
    DataType type = DataTypes.createArrayType(DataTypes.DoubleType, false);
    if (method.equals("each")) {
      type = DataTypes.createArrayType(type, false);
    }
    return RowCall.column(spark, List.of(features), function, method, type);
  }

  /** What is called for each row, by as many threads as Spark likes: it keeps nothing of a row. */
  public static final class Function implements Serializable {
    private static final long serialVersionUID = 1;
    private final Broadcast<byte[]> packed;
    private final float missing;
    private transient volatile ShapleyForest forest;

    Function(Broadcast<byte[]> packed, float missing) {
      this.packed = packed;
      this.missing = missing;
    }

    public ArrayData one(ArrayData row) {
      return UnsafeArrayData.fromPrimitiveArray(forest().values(row, missing)[0]);
    }

    public ArrayData each(ArrayData row) {
      double[][] values = forest().values(row, missing);
      Object[] made = new Object[values.length];
      for (int g = 0; g < made.length; g++) {
        made[g] = UnsafeArrayData.fromPrimitiveArray(values[g]);
      }
      return new GenericArrayData(made);
    }

    private ShapleyForest forest() {
      ShapleyForest made = forest;
      if (made == null) {
        made = new ShapleyForest(ByteBuffer.wrap(packed.value()));
        forest = made;
      }
      return made;
    }

    @Override
    public String toString() {
      return "xgboost_contributions";
    }
  }
}

package ml.raydp.trees;

import java.nio.ByteBuffer;
import java.util.List;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;

/** A column of predictions by boosted trees, computed by Spark's generated code. */
public final class TreesColumn {
  /**
   * Makes the column; called from Python through py4j.
   *
   * @param features SQL of an array of floats, one for each feature
   * @param texts SQL of an array of strings, one for each feature with categories
   * @param margins SQL of an array of floats, one for each group of trees, where their sums begin;
   *     an empty one for the base scores
   * @param categories as {@link Categories} reads them
   * @param packed big-endian, as {@link Forest} reads it
   * @param link "identity", "logistic" or "softmax"
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "value", "values" (of several outputs), "probabilities",
   *     "likeliest", a place among them, "labels" (which outputs are likely), or "leaves"
   */
  public Column column(
      SparkSession spark,
      String features,
      String texts,
      String margins,
      byte[] categories,
      byte[] packed,
      String link,
      double missing,
      String method) {
    Function function = new Function(spark, packed, categories, missing, link);
    List<String> arguments = List.of(features, texts, margins);
    return RowCall.column(spark, arguments, function, method, type(method));
  }

  static DataType type(String method) {
    return switch (method) {
      case "value" -> DataTypes.DoubleType;
      case "likeliest" -> DataTypes.IntegerType;
      case "labels", "leaves" -> DataTypes.createArrayType(DataTypes.IntegerType, false);
      default -> DataTypes.createArrayType(DataTypes.DoubleType, false);
    };
  }

  /** What is called for each row. */
  public static final class Function extends RowFunction<Forest> {
    private static final long serialVersionUID = 1;
    private static final float LIKELY = 0.5f;
    private final String link;

    Function(
        SparkSession spark, byte[] trees, byte[] categories, double missing, String link) {
      super(spark, trees, categories, missing);
      this.link = link;
    }

    public double value(ArrayData row, ArrayData texts, ArrayData margins) {
      return outputs(row, texts, margins)[0];
    }

    public ArrayData values(ArrayData row, ArrayData texts, ArrayData margins) {
      return doubles(outputs(row, texts, margins));
    }

    public ArrayData probabilities(ArrayData row, ArrayData texts, ArrayData margins) {
      return doubles(shares(row, texts, margins));
    }

    public int likeliest(ArrayData row, ArrayData texts, ArrayData margins) {
      float[] shares = shares(row, texts, margins);
      int best = 0;
      for (int i = 1; i < shares.length; i++) {
        if (shares[i] > shares[best]) {
          best = i;
        }
      }
      return best;
    }

    public ArrayData labels(ArrayData row, ArrayData texts, ArrayData margins) {
      float[] shares = outputs(row, texts, margins);
      int[] made = new int[shares.length];
      for (int i = 0; i < made.length; i++) {
        made[i] = shares[i] > LIKELY ? 1 : 0;
      }
      return UnsafeArrayData.fromPrimitiveArray(made);
    }

    public ArrayData leaves(ArrayData row, ArrayData texts, ArrayData margins) {
      return UnsafeArrayData.fromPrimitiveArray(forest().leaves(cells(row, texts)));
    }

    private Cells cells(ArrayData row, ArrayData texts) {
      return cells(row, texts, forest().features);
    }

    private static ArrayData doubles(float[] shares) {
      double[] made = new double[shares.length];
      for (int i = 0; i < made.length; i++) {
        made[i] = shares[i];
      }
      return UnsafeArrayData.fromPrimitiveArray(made);
    }

    /** The shares of classes, which are two where there is one output. */
    private float[] shares(ArrayData row, ArrayData texts, ArrayData margins) {
      float[] made = outputs(row, texts, margins);
      return made.length > 1 ? made : new float[] {1 - made[0], made[0]};
    }

    private float[] outputs(ArrayData row, ArrayData texts, ArrayData margins) {
      Forest trees = forest();
      Cells cells = cells(row, texts);
      boolean given = margins.numElements() > 0;
      float[] made = new float[trees.base.length];
      for (int i = 0; i < made.length; i++) {
        made[i] = trees.sum(i, given ? margins.getFloat(i) : trees.base[i], cells);
      }
      switch (link) {
        case "logistic" -> logistic(made);
        case "softmax" -> softmax(made);
        default -> {}
      }
      return made;
    }

    private static void logistic(float[] sums) {
      for (int i = 0; i < sums.length; i++) {
        // XGBoost's own bound, below which e^-x is no float.
        sums[i] = 1 / ((float) Math.exp(Math.min(-sums[i], 88.7f)) + 1);
      }
    }

    private static void softmax(float[] sums) {
      float most = Float.NEGATIVE_INFINITY;
      for (float sum : sums) {
        most = Math.max(most, sum);
      }
      double total = 0;
      for (int i = 0; i < sums.length; i++) {
        sums[i] = (float) Math.exp(sums[i] - most);
        total += sums[i];
      }
      for (int i = 0; i < sums.length; i++) {
        sums[i] /= (float) total;
      }
    }

    @Override
    Forest unpacked(ByteBuffer packed) {
      return new Forest(packed);
    }

    @Override
    public String toString() {
      return "xgboost";
    }
  }
}

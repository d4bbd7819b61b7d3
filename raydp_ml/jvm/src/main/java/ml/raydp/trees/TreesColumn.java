package ml.raydp.trees;

import java.io.Serializable;
import java.nio.ByteBuffer;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
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
   * @param features SQL of an array of floats
   * @param packed big-endian, as {@link Forest} reads it
   * @param link "identity", "logistic" or "softmax"
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "value", "values" (of several outputs), "probabilities" or
   *     "likeliest", a place among them
   */
  public Column column(
      SparkSession spark,
      String features,
      byte[] packed,
      String link,
      double missing,
      String method) {
    // (Bytes: in a local session of the user's own, whose jar came late, the class of what is
    // broadcast would be another one than the tasks'.)
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    Function function = new Function(context.broadcast(packed), link, (float) missing);
    DataType type =
        switch (method) {
          case "value" -> DataTypes.DoubleType;
          case "likeliest" -> DataTypes.IntegerType;
          default -> DataTypes.createArrayType(DataTypes.DoubleType, false);
        };
    return RowCall.column(spark, features, function, method, type);
  }

  /** What is called for each row, by as many threads as Spark likes: it keeps nothing of a row. */
  public static final class Function implements Serializable {
    private static final long serialVersionUID = 1;
    private final Broadcast<byte[]> packed;
    private final String link;
    private final float missing;
    private transient volatile Forest forest;

    Function(Broadcast<byte[]> packed, String link, float missing) {
      this.packed = packed;
      this.link = link;
      this.missing = missing;
    }

    public double value(ArrayData row) {
      Forest trees = forest();
      return trees.sum(0, new Cells(row, trees.features, missing));
    }

    public ArrayData values(ArrayData row) {
      Forest trees = forest();
      return doubles(sums(trees, new Cells(row, trees.features, missing)));
    }

    public ArrayData probabilities(ArrayData row) {
      return doubles(shares(row));
    }

    private static ArrayData doubles(float[] shares) {
      double[] made = new double[shares.length];
      for (int i = 0; i < made.length; i++) {
        made[i] = shares[i];
      }
      return UnsafeArrayData.fromPrimitiveArray(made);
    }

    public int likeliest(ArrayData row) {
      float[] shares = shares(row);
      int best = 0;
      for (int i = 1; i < shares.length; i++) {
        if (shares[i] > shares[best]) {
          best = i;
        }
      }
      return best;
    }

    private float[] shares(ArrayData row) {
      Forest trees = forest();
      Cells cells = new Cells(row, trees.features, missing);
      if (link.equals("logistic")) {
        // XGBoost's own bound, below which e^-x is no float.
        float power = (float) Math.exp(Math.min(-trees.sum(0, cells), 88.7f));
        float second = 1 / (power + 1);
        return new float[] {1 - second, second};
      }
      float[] sums = sums(trees, cells);
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
      return sums;
    }

    private static float[] sums(Forest trees, Cells cells) {
      float[] sums = new float[trees.base.length];
      for (int i = 0; i < sums.length; i++) {
        sums[i] = trees.sum(i, cells);
      }
      return sums;
    }

    private Forest forest() {
      // (Two threads may both unpack it, into the same.)
      Forest made = forest;
      if (made == null) {
        made = new Forest(ByteBuffer.wrap(packed.value()).asIntBuffer());
        forest = made;
      }
      return made;
    }

    @Override
    public String toString() {
      return "xgboost";
    }
  }
}

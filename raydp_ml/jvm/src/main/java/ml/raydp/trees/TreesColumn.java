package ml.raydp.trees;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.List;
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
   * @param features SQL of an array of floats, one for each feature
   * @param texts SQL of an array of strings, one for each feature with categories
   * @param categories as {@link Categories} reads them
   * @param packed big-endian, as {@link Forest} reads it
   * @param link "identity", "logistic" or "softmax"
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "value", "values" (of several outputs), "probabilities" or
   *     "likeliest", a place among them
   */
  public Column column(
      SparkSession spark,
      String features,
      String texts,
      byte[] categories,
      byte[] packed,
      String link,
      double missing,
      String method) {
    // (Bytes: in a local session of the user's own, whose jar came late, the class of what is
    // broadcast would be another one than the tasks'.)
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    Broadcast<byte[][]> shared = context.broadcast(new byte[][] {packed, categories});
    Function function = new Function(shared, link, (float) missing);
    DataType type =
        switch (method) {
          case "value" -> DataTypes.DoubleType;
          case "likeliest" -> DataTypes.IntegerType;
          default -> DataTypes.createArrayType(DataTypes.DoubleType, false);
        };
    return RowCall.column(spark, List.of(features, texts), function, method, type);
  }

  /** What is called for each row, by as many threads as Spark likes: it keeps nothing of a row. */
  public static final class Function implements Serializable {
    private static final long serialVersionUID = 1;
    private final Broadcast<byte[][]> packed;
    private final String link;
    private final float missing;
    private transient volatile Forest forest;
    private transient volatile Categories known;

    Function(Broadcast<byte[][]> packed, String link, float missing) {
      this.packed = packed;
      this.link = link;
      this.missing = missing;
    }

    public double value(ArrayData row, ArrayData texts) {
      return forest().sum(0, cells(row, texts));
    }

    public ArrayData values(ArrayData row, ArrayData texts) {
      return doubles(sums(cells(row, texts)));
    }

    public ArrayData probabilities(ArrayData row, ArrayData texts) {
      return doubles(shares(cells(row, texts)));
    }

    public int likeliest(ArrayData row, ArrayData texts) {
      float[] shares = shares(cells(row, texts));
      int best = 0;
      for (int i = 1; i < shares.length; i++) {
        if (shares[i] > shares[best]) {
          best = i;
        }
      }
      return best;
    }

    private Cells cells(ArrayData row, ArrayData texts) {
      return new Cells(row, texts, known(), forest().features, missing);
    }

    private static ArrayData doubles(float[] shares) {
      double[] made = new double[shares.length];
      for (int i = 0; i < made.length; i++) {
        made[i] = shares[i];
      }
      return UnsafeArrayData.fromPrimitiveArray(made);
    }

    private float[] shares(Cells cells) {
      if (link.equals("logistic")) {
        // XGBoost's own bound, below which e^-x is no float.
        float power = (float) Math.exp(Math.min(-forest().sum(0, cells), 88.7f));
        float second = 1 / (power + 1);
        return new float[] {1 - second, second};
      }
      float[] sums = sums(cells);
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

    private float[] sums(Cells cells) {
      Forest trees = forest();
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
        made = new Forest(ByteBuffer.wrap(packed.value()[0]).asIntBuffer());
        forest = made;
      }
      return made;
    }

    private Categories known() {
      Categories made = known;
      if (made == null) {
        made = new Categories(ByteBuffer.wrap(packed.value()[1]));
        known = made;
      }
      return made;
    }

    @Override
    public String toString() {
      return "xgboost";
    }
  }
}

package ml.raydp.trees;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.Literal$;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.expressions.objects.Invoke;
import org.apache.spark.sql.catalyst.parser.ParseException;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.classic.ExpressionUtils;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.types.AbstractDataType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/** A column of predictions by boosted trees, computed by Spark's generated code. */
public final class TreesColumn {
  /**
   * Makes the column; called from Python through py4j.
   *
   * @param features SQL of an array of floats
   * @param packed big-endian, as {@link Forest} reads it
   * @param link "identity", "logistic" or "softmax"
   * @param missing the value that stands for a missing one, as NaN and null do
   * @param method of {@link Function}: "value", "probabilities" or "likeliest", a place among them
   */
  public Column column(
      SparkSession spark,
      String features,
      byte[] packed,
      String link,
      double missing,
      String method)
      throws ParseException {
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
    Expression array = spark.sessionState().sqlParser().parseExpression(features);
    Expression target = Literal$.MODULE$.fromObject(function);
    Seq<Expression> arguments = CollectionConverters.asScala(List.of(array)).toSeq();
    Seq<AbstractDataType> any = CollectionConverters.asScala(List.<AbstractDataType>of()).toSeq();
    // (Null for null, never null, the same for the same row.)
    return ExpressionUtils.column(
        new Invoke(target, method, type, arguments, any, true, false, true));
  }

  /** What a task calls for each row; every task has one of its own. */
  public static final class Function implements Serializable {
    private static final long serialVersionUID = 1;
    private final Broadcast<byte[]> packed;
    private final String link;
    private final float missing;
    private transient Forest forest;
    private transient int[] keys;
    private transient boolean[] gone;
    private transient float[] sums;

    Function(Broadcast<byte[]> packed, String link, float missing) {
      this.packed = packed;
      this.link = link;
      this.missing = missing;
    }

    public double value(ArrayData row) {
      boolean whole = read(row);
      return whole ? forest.sum(0, keys) : forest.sum(0, keys, gone);
    }

    public ArrayData probabilities(ArrayData row) {
      float[] shares = shares(row);
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
      boolean whole = read(row);
      boolean two = link.equals("logistic");
      int first = two ? 1 : 0;
      for (int i = first; i < sums.length; i++) {
        sums[i] = whole ? forest.sum(i - first, keys) : forest.sum(i - first, keys, gone);
      }
      if (two) {
        // XGBoost's own bound, below which e^-x is no float.
        float power = (float) Math.exp(Math.min(-sums[1], 88.7f));
        sums[1] = 1 / (power + 1);
        sums[0] = 1 - sums[1];
        return sums;
      }
      float most = sums[0];
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

    /** Reads a row, and returns whether none of it is missing. */
    private boolean read(ArrayData row) {
      if (forest == null) {
        forest = new Forest(ByteBuffer.wrap(packed.value()).asIntBuffer());
        keys = new int[forest.features];
        gone = new boolean[forest.features];
        sums = new float[link.equals("logistic") ? 2 : forest.base.length];
      }
      boolean whole = true;
      for (int i = 0; i < keys.length; i++) {
        boolean held = !row.isNullAt(i);
        float value = held ? row.getFloat(i) : missing;
        gone[i] = value == missing || value != value;
        keys[i] = Forest.key(value);
        whole &= !gone[i];
      }
      return whole;
    }

    @Override
    public String toString() {
      return "xgboost";
    }
  }
}

package ml.raydp.trees;

import java.util.List;
import ml.raydp.columns.SqlText;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.Literal$;
import org.apache.spark.sql.catalyst.expressions.objects.Invoke;
import org.apache.spark.sql.classic.ExpressionUtils;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.types.AbstractDataType;
import org.apache.spark.sql.types.DataType;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/** A call of an object's method for each row, in Spark's generated code. */
final class RowCall {
  private RowCall() {}

  /**
   * Makes the column of what a method returns.
   *
   * @param features SQL of an array of floats, the method's argument
   */
  static Column column(
      SparkSession spark, String features, Object function, String method, DataType type) {
    Expression array = SqlText.expression(spark, features);
    Expression target = Literal$.MODULE$.fromObject(function);
    Seq<Expression> arguments = CollectionConverters.asScala(List.of(array)).toSeq();
    Seq<AbstractDataType> any = CollectionConverters.asScala(List.<AbstractDataType>of()).toSeq();
    // (Null for null, never null, the same for the same row.)
    return ExpressionUtils.column(
        new Invoke(target, method, type, arguments, any, true, false, true));
  }
}

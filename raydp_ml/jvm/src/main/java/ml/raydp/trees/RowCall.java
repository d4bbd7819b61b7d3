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
   * @param arguments SQL of the method's arguments
   */
  static Column column(
      SparkSession spark, List<String> arguments, Object function, String method, DataType type) {
    List<Expression> parsed =
        arguments.stream().map(text -> SqlText.expression(spark, text)).toList();
    return ExpressionUtils.column(call(parsed, function, method, type));
  }

  static Expression call(
      List<Expression> arguments, Object function, String method, DataType type) {
    Expression target = Literal$.MODULE$.fromObject(function);
    Seq<Expression> given = CollectionConverters.asScala(arguments).toSeq();
    Seq<AbstractDataType> any = CollectionConverters.asScala(List.<AbstractDataType>of()).toSeq();
    // (Null for null, never null, the same for the same row.)
    return new Invoke(target, method, type, given, any, true, false, true);
  }
}

package ml.raydp.trees;

import java.util.List;
import java.util.function.Function;
import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo;
import org.apache.spark.sql.catalyst.expressions.Literal;
import org.apache.spark.sql.classic.SparkSession;
import scala.Tuple3;
import scala.jdk.javaapi.CollectionConverters;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;

/**
 * Our columns as SQL functions, for a Spark Connect server, whose clients have no JVM to make them
 * in: {@code spark.sql.extensions=ml.raydp.trees.ServerFunctions}.
 *
 * <p>Their names end with the number of the format that their constants are packed in: a client
 * that packs in another one does not find them.
 */
public final class ServerFunctions extends AbstractFunction1<SparkSessionExtensions, BoxedUnit> {
  private static final String FORMAT = "_1";

  @Override
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    inject(extensions, "raydp_ml_trees", ServerFunctions::trees);
    inject(extensions, "raydp_ml_contributions", ServerFunctions::contributions);
    return BoxedUnit.UNIT;
  }

  private static void inject(
      SparkSessionExtensions extensions, String name, Function<List<Expression>, Expression> made) {
    String whole = name + FORMAT;
    extensions.injectFunction(
        new Tuple3<>(
            new FunctionIdentifier(whole),
            new ExpressionInfo(ServerFunctions.class.getName(), whole),
            given -> made.apply(CollectionConverters.asJava(given))));
  }

  /** Takes features, texts and margins, and then the constants of {@link TreesColumn#column}. */
  private static Expression trees(List<Expression> given) {
    SparkSession spark = SparkSession.active();
    RowFunction<?> function =
        new TreesColumn.Function(
            spark, bytes(given, 4), bytes(given, 3), number(given, 6), text(given, 5));
    String method = text(given, 7);
    return RowCall.call(given.subList(0, 3), function, method, TreesColumn.type(method));
  }

  /** Takes features and texts, and then the constants of {@link ExplainColumn#column}. */
  private static Expression contributions(List<Expression> given) {
    RowFunction<?> function =
        new ExplainColumn.Function(
            SparkSession.active(), bytes(given, 3), bytes(given, 2), number(given, 4));
    String method = text(given, 5);
    return RowCall.call(given.subList(0, 2), function, method, ExplainColumn.type(method));
  }

  private static byte[] bytes(List<Expression> given, int at) {
    return (byte[]) constant(given, at);
  }

  private static double number(List<Expression> given, int at) {
    return (double) constant(given, at);
  }

  private static String text(List<Expression> given, int at) {
    return constant(given, at).toString();
  }

  private static Object constant(List<Expression> given, int at) {
    if (at < given.size() && given.get(at) instanceof Literal literal && literal.value() != null) {
      return literal.value();
    }
    throw new IllegalArgumentException("Only raydp_ml calls this function: argument " + at);
  }
}

package ml.raydp.columns;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import ml.raydp.versions.Internals;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.analysis.ExpressionWithUnresolvedIdentifier;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.expressions.Cast;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.Literal;
import org.apache.spark.sql.catalyst.expressions.PlanExpression;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.parser.CatalystSqlParser$;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.sql.classic.ExpressionUtils;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.internal.SQLConf;
import org.apache.spark.sql.internal.SQLConf$;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Turns our SQL text into columns that mean the same in every session: parsed and resolved under
 * Spark's default settings, with Spark's own functions whatever the user has registered. Called
 * from Python through py4j.
 */
public final class SqlText {
  private static final String OURS = "raydp_ml_";
  private static final Set<String> NEVER_OURS = Set.of("reflect", "java_method", "try_reflect");
  // What the meaning of a column's name, and of an instant as text, depends on is the user's.
  private static final Set<String> KEPT =
      Set.of("spark.sql.caseSensitive", "spark.sql.session.timeZone");

  /** Evaluates under Spark's default settings; the thread's own come back afterwards. */
  static <T> T pinned(SparkSession spark, Supplier<T> made) {
    SQLConf defaults = new SQLConf();
    SQLConf own = spark.sessionState().conf();
    // (The default of this one is an environment variable's.)
    defaults.setConfString("spark.sql.ansi.enabled", "true");
    KEPT.forEach(key -> defaults.setConfString(key, own.getConfString(key)));
    return SQLConf$.MODULE$.withExistingConf(defaults, made::get);
  }

  /** Selects texts, packed as {@link #unpacked} reads them. */
  public Dataset<Row> select(Dataset<Row> df, byte[] packed) {
    return pinned(df.sparkSession(), () -> df.select(columns(packed)));
  }

  /** Selects columns that Python made with {@code pyspark.sql.functions}. */
  public Dataset<Row> selectColumns(Dataset<Row> df, List<Column> columns) {
    return pinned(
        df.sparkSession(),
        () -> {
          List<Column> made = new ArrayList<>();
          columns.forEach(c -> made.add(column(ownMeaning(ExpressionUtils.expression(c)))));
          return df.select(CollectionConverters.asScala(made).toSeq());
        });
  }

  public Dataset<Row> where(Dataset<Row> df, String text) {
    return pinned(df.sparkSession(), () -> df.filter(column(parsed(text))));
  }

  /** Groups by keys and aggregates, both texts; the keys come first in the result. */
  @SuppressWarnings("unchecked") // to Java, Scala's drop returns a raw type
  public Dataset<Row> aggregate(Dataset<Row> df, byte[] keys, byte[] packed) {
    return pinned(
        df.sparkSession(),
        () -> {
          Seq<Column> made = columns(packed);
          Seq<Column> rest = made.drop(1).toSeq();
          return df.groupBy(columns(keys)).agg(made.head(), rest);
        });
  }

  /** Parses a text, for columns of our other classes. */
  public static Expression expression(SparkSession spark, String text) {
    return pinned(spark, () -> parsed(text));
  }

  private static Expression parsed(String text) {
    return ownMeaning(CatalystSqlParser$.MODULE$.parseExpression(text));
  }

  private static Column column(Expression made) {
    return ExpressionUtils.column(made);
  }

  private static Seq<Column> columns(byte[] packed) {
    List<Column> made = new ArrayList<>();
    unpacked(packed).forEach(text -> made.add(column(parsed(text))));
    return CollectionConverters.asScala(made).toSeq();
  }

  /** Reads texts, each as its length in bytes and UTF-8. */
  private static List<String> unpacked(byte[] packed) {
    ByteBuffer buffer = ByteBuffer.wrap(packed);
    List<String> texts = new ArrayList<>();
    while (buffer.hasRemaining()) {
      byte[] text = new byte[buffer.getInt()];
      buffer.get(text);
      texts.add(new String(text, StandardCharsets.UTF_8));
    }
    return texts;
  }

  /** Names each function in full, and makes constants of what is one already. */
  private static Expression ownMeaning(Expression expression) {
    if (expression instanceof PlanExpression
        || expression instanceof ExpressionWithUnresolvedIdentifier
        || (expression instanceof UnresolvedFunction call
            && NEVER_OURS.contains(call.nameParts().last().toLowerCase(Locale.ROOT)))) {
      // Some of what is in our text was read from a file: an estimator that was loaded.
      throw new IllegalArgumentException("No part of a transformer: " + expression);
    }
    Expression made = expression.mapChildren(SqlText::ownMeaning);
    if (made instanceof UnresolvedFunction call) {
      Expression constant = constant(call);
      return constant == null ? inFull(call) : constant;
    }
    if (made instanceof Cast cast && cast.child() instanceof UnresolvedFunction call) {
      Expression constant = numbers(cast, call);
      return constant == null ? made : constant;
    }
    return made;
  }

  private static Expression inFull(UnresolvedFunction call) {
    if (call.isInternal() || call.nameParts().size() > 1) {
      return call;
    }
    String name = call.nameParts().head();
    String space = name.startsWith(OURS) ? "session" : "builtin";
    return Internals.inFull(call, space, name);
  }

  /**
   * The constant that a call stands for, else null. (Spark folds constants late: on the rows of a
   * local relation it evaluates a projection before, and would build an array anew for each row.)
   */
  private static Literal constant(UnresolvedFunction call) {
    Object[] values = new Object[call.arguments().size()];
    DataType type = null;
    for (int i = 0; i < values.length; i++) {
      if (!(call.arguments().apply(i) instanceof Literal literal)
          || literal.value() == null
          || (type != null && !type.equals(literal.dataType()))) {
        return null;
      }
      type = literal.dataType();
      values[i] = literal.value();
    }
    return switch (call.nameParts().last()) {
      case "array" -> values.length == 0 ? null : array(new GenericArrayData(values), type);
      case "double" ->
          values.length == 1 && DataTypes.StringType.equals(type)
              ? new Literal(number(values[0].toString()), DataTypes.DoubleType)
              : null;
      case "sequence" ->
          values.length == 2 && DataTypes.IntegerType.equals(type)
              ? range((int) values[0], (int) values[1])
              : null;
      default -> null;
    };
  }

  private static Literal range(int first, int last) {
    if (first > last) {
      return null;
    }
    int[] made = IntStream.rangeClosed(first, last).toArray();
    return array(UnsafeArrayData.fromPrimitiveArray(made), DataTypes.IntegerType);
  }

  /** The array of doubles that {@code cast(split('1.5,2', ',') as array<double>)} is, or null. */
  private static Literal numbers(Cast cast, UnresolvedFunction call) {
    boolean isSplit = call.nameParts().last().equals("split") && call.arguments().size() == 2;
    if (!isSplit
        || !(cast.dataType() instanceof ArrayType array)
        || !DataTypes.DoubleType.equals(array.elementType())
        || !(call.arguments().head() instanceof Literal text)
        || !(call.arguments().last() instanceof Literal comma)
        || !",".equals(String.valueOf(comma.value()))) {
      return null;
    }
    String[] parts = String.valueOf(text.value()).split(",");
    double[] made = new double[parts.length];
    for (int i = 0; i < parts.length; i++) {
      made[i] = number(parts[i]);
    }
    return array(UnsafeArrayData.fromPrimitiveArray(made), DataTypes.DoubleType);
  }

  private static Literal array(Object values, DataType element) {
    return new Literal(values, DataTypes.createArrayType(element, false));
  }

  /** Reads what Python, or our text, writes for a double. */
  private static double number(String text) {
    return switch (text) {
      case "inf", "Infinity" -> Double.POSITIVE_INFINITY;
      case "-inf", "-Infinity" -> Double.NEGATIVE_INFINITY;
      case "nan", "NaN" -> Double.NaN;
      default -> Double.parseDouble(text);
    };
  }
}

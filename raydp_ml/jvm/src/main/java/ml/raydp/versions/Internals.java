package ml.raydp.versions;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.List;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.package$;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.plans.logical.SubqueryAlias;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.ArrowUtils;
import scala.Product;
import scala.Tuple2;
import scala.Tuple3;
import scala.jdk.javaapi.CollectionConverters;

/** Those of Spark's internals, of the ones that are used here, that differ between 4.0 and 4.3. */
public final class Internals {
  private static final Method ARROW_SCHEMA = arrowSchema();
  private static final Method COPY = method(UnresolvedFunction.class, "copy");

  private Internals() {}

  /** Until 4.1 it is told, too, not to use large strings. */
  public static Schema arrowSchema(StructType schema, String timeZone) {
    return ARROW_SCHEMA.getParameterCount() == 3
        ? (Schema) call(ARROW_SCHEMA, null, schema, timeZone, false)
        : (Schema) call(ARROW_SCHEMA, null, schema, timeZone, false, false);
  }

  /**
   * The same call of a function of a session's ("session") or of Spark's own ("builtin"), whatever
   * else has its name. Before 4.3 there is no such name: what a user registers hides Spark's own.
   */
  public static UnresolvedFunction inFull(UnresolvedFunction function, String space, String name) {
    String[] version = package$.MODULE$.SPARK_VERSION().split("\\.");
    if (version[0].equals("4") && Integer.parseInt(version[1]) < 3) {
      return function;
    }
    Object[] parts = new Object[function.productArity()];
    Arrays.setAll(parts, function::productElement);
    parts[0] = CollectionConverters.asScala(List.of("system", space, name)).toSeq();
    return (UnresolvedFunction) call(COPY, function, parts);
  }

  /** A query of WITH, with another plan: since 4.1 it has a depth of recursion beside it. */
  public static Product withPlan(Product query, SubqueryAlias plan) {
    return query.productArity() == 2
        ? new Tuple2<>(query.productElement(0), plan)
        : new Tuple3<>(query.productElement(0), plan, query.productElement(2));
  }

  private static Method arrowSchema() {
    try {
      return ArrowUtils.class.getMethod(
          "toArrowSchema", StructType.class, String.class, boolean.class);
    } catch (NoSuchMethodException until41) {
      try {
        return ArrowUtils.class.getMethod(
            "toArrowSchema", StructType.class, String.class, boolean.class, boolean.class);
      } catch (NoSuchMethodException error) {
        throw new IllegalStateException(error);
      }
    }
  }

  private static Method method(Class<?> type, String name) {
    return Arrays.stream(type.getMethods())
        .filter(found -> found.getName().equals(name))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException(type + " has no " + name));
  }

  private static Object call(Method method, Object target, Object... arguments) {
    try {
      return method.invoke(target, arguments);
    } catch (ReflectiveOperationException error) {
      throw new IllegalStateException(method + " of another Spark", error);
    }
  }
}

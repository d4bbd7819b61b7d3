package ml.raydp.columns;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import ml.raydp.versions.Internals;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.analysis.ExpressionWithUnresolvedIdentifier;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.PlanWithUnresolvedIdentifier;
import org.apache.spark.sql.catalyst.analysis.TableFunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.analysis.UnresolvedGenerator;
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation;
import org.apache.spark.sql.catalyst.analysis.UnresolvedTableValuedFunction;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.PlanExpression;
import org.apache.spark.sql.catalyst.parser.ParseException;
import org.apache.spark.sql.catalyst.parser.ParserInterface;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.SubqueryAlias;
import org.apache.spark.sql.catalyst.plans.logical.SubqueryAlias$;
import org.apache.spark.sql.catalyst.plans.logical.UnresolvedWith;
import org.apache.spark.sql.classic.Dataset;
import scala.Product;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/**
 * One query over a DataFrame: the user's SQL, in his session, which nothing runs before it was
 * parsed and found to be no more than that. Called from Python through py4j.
 */
public final class Query {
  /** What a parsed query is made of. (All that is not named here is refused, with the commands.) */
  private static final Set<String> PARTS =
      Set.of(
          ("Aggregate AsOfJoin Distinct Except Expand Filter Generate GlobalLimit Intersect Join"
                  + " LateralJoin LimitAll LocalLimit LocalRelation NearestByJoin Offset"
                  + " OneRowRelation PipeOperator Pivot Project RebalancePartitions Repartition"
                  + " RepartitionByExpression Sample Sort SubqueryAlias Tail Union UnresolvedBinBy"
                  + " UnresolvedHaving UnresolvedHint UnresolvedInlineTable UnresolvedQualify"
                  + " UnresolvedSubqueryColumnAliases UnresolvedTVFAliases Unpivot Window"
                  + " WithWindowDefinition")
              .split(" "));

  /** Functions that call any Java code. */
  private static final Set<String> CALLS = Set.of("reflect", "java_method", "try_reflect");

  /** Spark's own functions that may load classes or read files and addresses that they are given. */
  private static final Set<String> READERS =
      Set.of(
          ("from_avro from_protobuf from_xml python_worker_logs schema_of_avro schema_of_xml"
                  + " to_avro to_protobuf")
              .split(" "));

  /**
   * Runs the query, lazily.
   *
   * @param statement SQL of the session's own dialect
   * @param place the name that stands for the DataFrame
   * @param tables names of other tables that may be read
   * @param foreign whether someone else wrote it: then it may call no functions but Spark's own,
   *     and of those none that reads files
   * @return a Dataset, or a string that says why it was refused: a kind, a colon, and what was met
   */
  public Object run(
      Dataset<Row> df, String statement, String place, List<String> tables, boolean foreign)
      throws ParseException {
    ParserInterface parser = df.sparkSession().sessionState().sqlParser();
    Set<List<String>> known = new HashSet<>();
    for (String table : tables) {
      known.add(folded(parser.parseMultipartIdentifier(table)));
    }
    Check check = new Check(df.queryExecution().analyzed(), place, known, foreign);
    try {
      LogicalPlan plan = check.plan(parser.parsePlan(statement), Set.of());
      return check.met ? Dataset.ofRows(df.sparkSession(), plan) : "place:";
    } catch (Refused refused) {
      return refused.getMessage();
    }
  }

  private static List<String> folded(Seq<String> name) {
    List<String> made = new ArrayList<>();
    CollectionConverters.asJava(name).forEach(part -> made.add(part.toLowerCase(Locale.ROOT)));
    return made;
  }

  private static final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1;

    Refused(String kind, Object what) {
      super(kind + ":" + what);
    }
  }

  /** Puts the DataFrame in its place, and refuses what is no part of a query over it. */
  private static final class Check {
    private final LogicalPlan frame;
    private final String place;
    private final Set<List<String>> tables;
    private final boolean foreign;
    private boolean met;

    Check(LogicalPlan frame, String place, Set<List<String>> tables, boolean foreign) {
      this.frame = frame;
      this.place = place;
      this.tables = tables;
      this.foreign = foreign;
    }

    /** Checks a plan in which the names of {@code queries} (of WITH) are known. */
    LogicalPlan plan(LogicalPlan plan, Set<String> queries) {
      if (plan instanceof UnresolvedWith with) {
        return with(with, queries);
      }
      if (plan instanceof UnresolvedRelation relation) {
        return relation(relation, queries);
      }
      if (plan instanceof PlanWithUnresolvedIdentifier) {
        throw new Refused("function", "identifier");
      }
      if (plan instanceof UnresolvedTableValuedFunction call) {
        String name = call.name().last();
        if (foreign && READERS.contains(name.toLowerCase(Locale.ROOT))) {
          throw new Refused("foreign", name);
        }
        boolean isBuiltin =
            call.name().size() == 1
                && TableFunctionRegistry$.MODULE$
                    .builtin()
                    .functionExists(new FunctionIdentifier(name));
        if (!isBuiltin && !tables.contains(folded(call.name()))) {
          throw new Refused("table", call.name().mkString("."));
        }
      } else if (!PARTS.contains(plan.getClass().getSimpleName().replace("$", ""))) {
        throw new Refused("command", plan.nodeName());
      }
      LogicalPlan made = plan.mapExpressions(e -> expression(e, queries));
      return made.mapChildren(child -> plan(child, queries));
    }

    private LogicalPlan relation(UnresolvedRelation relation, Set<String> queries) {
      List<String> name = folded(relation.multipartIdentifier());
      boolean isQuery = name.size() == 1 && queries.contains(name.get(0));
      if (isQuery || tables.contains(name)) {
        return relation;
      }
      if (name.size() == 1 && name.get(0).equals(place.toLowerCase(Locale.ROOT))) {
        met = true;
        return SubqueryAlias$.MODULE$.apply(place, frame);
      }
      throw new Refused("table", relation.multipartIdentifier().mkString("."));
    }

    @SuppressWarnings({"unchecked", "rawtypes"}) // pairs or triples, by Spark's version
    private LogicalPlan with(UnresolvedWith with, Set<String> queries) {
      Set<String> known = new HashSet<>(queries);
      List<Product> made = new ArrayList<>();
      for (Product query : CollectionConverters.asJava((Seq<Product>) (Seq<?>) with.cteRelations())) {
        String name = ((String) query.productElement(0)).toLowerCase(Locale.ROOT);
        if (with.allowRecursion()) {
          known.add(name);
        }
        var checked =
            (SubqueryAlias) plan((LogicalPlan) query.productElement(1), Set.copyOf(known));
        made.add(Internals.withPlan(query, checked));
        known.add(name);
      }
      LogicalPlan child = plan(with.child(), known);
      Seq<?> queriesOfWith = CollectionConverters.asScala(made).toSeq();
      return with.copy(child, (Seq) queriesOfWith, with.allowRecursion());
    }

    @SuppressWarnings("unchecked")
    private Expression expression(Expression expression, Set<String> queries) {
      if (expression instanceof ExpressionWithUnresolvedIdentifier) {
        throw new Refused("function", "identifier");
      }
      if (expression instanceof UnresolvedFunction call
          && CALLS.contains(call.nameParts().last().toLowerCase(Locale.ROOT))) {
        throw new Refused("function", call.nameParts().last());
      }
      Expression made = expression;
      if (foreign && expression instanceof UnresolvedFunction call) {
        made = sparksOwn(call);
      }
      if (foreign && expression instanceof UnresolvedGenerator call) {
        requireSparksOwn(CollectionConverters.asJava(call.name().nameParts()));
      }
      if (expression instanceof PlanExpression<?> subquery) {
        LogicalPlan checked = plan((LogicalPlan) subquery.plan(), queries);
        made = ((PlanExpression<LogicalPlan>) subquery).withNewPlan(checked);
      }
      return made.mapChildren(child -> expression(child, queries));
    }

    /** Names a function of Spark in full, whatever the session has registered of that name. */
    private static UnresolvedFunction sparksOwn(UnresolvedFunction call) {
      String name = requireSparksOwn(CollectionConverters.asJava(call.nameParts()));
      return Internals.inFull(call, "builtin", name);
    }

    private static String requireSparksOwn(List<String> parts) {
      String name = parts.get(parts.size() - 1).toLowerCase(Locale.ROOT);
      String space = String.join(".", parts.subList(0, parts.size() - 1)).toLowerCase(Locale.ROOT);
      boolean isBuiltin =
          Set.of("", "builtin", "system.builtin").contains(space)
              && FunctionRegistry$.MODULE$.builtin().functionExists(new FunctionIdentifier(name));
      if (!isBuiltin || READERS.contains(name)) {
        throw new Refused("foreign", String.join(".", parts));
      }
      return name;
    }
  }
}

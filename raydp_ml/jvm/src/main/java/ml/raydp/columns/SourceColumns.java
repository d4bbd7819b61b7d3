package ml.raydp.columns;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.expressions.Attribute;
import org.apache.spark.sql.catalyst.expressions.NamedExpression;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.Project;
import org.apache.spark.sql.classic.Dataset;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Gives a DataFrame back the columns of the one that it was made from, row by row as they were.
 * Called from Python through py4j.
 */
public final class SourceColumns {
  /** Steps that hand on each row with whatever it holds, or leave it out as a whole. */
  private static final Set<String> TRANSPARENT =
      Set.of(
          ("CollectMetrics EventTimeWatermark Filter Generate GlobalLimit LocalLimit Offset"
                  + " RebalancePartitions Repartition RepartitionByExpression ResolvedHint Sample"
                  + " Sort SubqueryAlias Tail Window")
              .split(" "));

  /**
   * Selects all columns of {@code source} and the last one of {@code made}; null where a step
   * between the two, such as an aggregation, has no rows that these columns belong to.
   */
  public Dataset<Row> restored(Dataset<Row> made, Dataset<Row> source) {
    LogicalPlan plan = made.queryExecution().analyzed();
    List<Attribute> columns =
        CollectionConverters.asJava(source.queryExecution().analyzed().output());
    LogicalPlan whole = withColumns(plan, columns);
    if (whole == null) {
      return null;
    }
    List<NamedExpression> chosen = new ArrayList<>(columns);
    chosen.add(plan.output().last());
    return Dataset.ofRows(made.sparkSession(), new Project(sequence(chosen), whole));
  }

  private static LogicalPlan withColumns(LogicalPlan plan, List<Attribute> columns) {
    List<Attribute> missing = new ArrayList<>();
    for (Attribute column : columns) {
      if (!plan.outputSet().contains(column)) {
        missing.add(column);
      }
    }
    if (missing.isEmpty()) {
      return plan;
    }
    boolean isProject = plan instanceof Project;
    if (!isProject && !TRANSPARENT.contains(plan.getClass().getSimpleName())) {
      return null;
    }
    LogicalPlan child = withColumns(plan.children().head(), missing);
    if (child == null) {
      return null;
    }
    if (!isProject) {
      return plan.withNewChildren(sequence(List.of(child)));
    }
    List<NamedExpression> chosen =
        new ArrayList<>(CollectionConverters.asJava(((Project) plan).projectList()));
    chosen.addAll(missing);
    return new Project(sequence(chosen), child);
  }

  private static <T> Seq<T> sequence(List<T> items) {
    return CollectionConverters.asScala(items).toSeq();
  }
}

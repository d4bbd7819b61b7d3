package ml.raydp.columns;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.expressions.Attribute;
import org.apache.spark.sql.catalyst.expressions.ExprId;
import org.apache.spark.sql.catalyst.expressions.NamedExpression;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.Project;
import org.apache.spark.sql.classic.Dataset;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Puts what projections make of one DataFrame next to each other, in one projection a level: Spark
 * looks at each step again for each that is put on it. Called from Python through py4j.
 */
public final class Projections {
  /** Whether nothing but projections lies between the two. */
  public boolean over(Dataset<Row> source, Dataset<Row> made) {
    return levels(source, made) != null;
  }

  /** Selects all columns of {@code source}, then those of each of {@code made} from it. */
  public Dataset<Row> joined(Dataset<Row> source, List<Dataset<Row>> made) {
    List<List<Project>> chains = new ArrayList<>();
    int depth = 0;
    for (Dataset<Row> each : made) {
      List<Project> chain = levels(source, each);
      chains.add(chain);
      depth = Math.max(depth, chain.size());
    }
    LogicalPlan plan = source.queryExecution().analyzed();
    List<Attribute> columns = CollectionConverters.asJava(plan.output());
    Set<ExprId> kept = new HashSet<>();
    columns.forEach(column -> kept.add(column.exprId()));
    for (int level = 0; level < depth; level++) {
      List<NamedExpression> chosen = new ArrayList<>(columns);
      Set<ExprId> held = new HashSet<>(kept);
      for (List<Project> chain : chains) {
        // What a part has made stays as it is while others go on.
        Project step = chain.get(Math.min(level, chain.size() - 1));
        for (NamedExpression item : CollectionConverters.asJava(step.projectList())) {
          if (held.add(item.exprId())) {
            chosen.add(level < chain.size() ? item : item.toAttribute());
          }
        }
      }
      plan = new Project(sequence(chosen), plan);
    }
    List<NamedExpression> whole = new ArrayList<>(columns);
    for (List<Project> chain : chains) {
      whole.addAll(CollectionConverters.asJava(chain.get(chain.size() - 1).output()));
    }
    return Dataset.ofRows(source.sparkSession(), new Project(sequence(whole), plan));
  }

  /** The projections between the two, that nearest to the source first; null for other steps. */
  private static List<Project> levels(Dataset<Row> source, Dataset<Row> made) {
    LogicalPlan end = source.queryExecution().analyzed();
    List<Project> found = new ArrayList<>();
    LogicalPlan plan = made.queryExecution().analyzed();
    while (plan != end) {
      if (!(plan instanceof Project project)) {
        return null;
      }
      found.add(0, project);
      plan = project.child();
    }
    return found;
  }

  private static <T> Seq<T> sequence(List<T> items) {
    return CollectionConverters.asScala(items).toSeq();
  }
}

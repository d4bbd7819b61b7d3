package ml.raydp.exchange;

import java.util.HashMap;
import java.util.Map;
import org.apache.spark.sql.catalyst.expressions.Alias;
import org.apache.spark.sql.catalyst.expressions.Attribute;
import org.apache.spark.sql.catalyst.expressions.AttributeReference;
import org.apache.spark.sql.catalyst.expressions.ExprId;
import org.apache.spark.sql.catalyst.expressions.NamedExpression;
import org.apache.spark.sql.execution.ColumnarToRowExec;
import org.apache.spark.sql.execution.InputAdapter;
import org.apache.spark.sql.execution.ProjectExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.WholeStageCodegenExec;
import org.apache.spark.sql.execution.adaptive.AdaptiveSparkPlanExec;
import org.apache.spark.sql.execution.adaptive.ResultQueryStageExec;

/** Finds the column batches under a plan whose last step only turns them into rows. */
final class Plans {
  private Plans() {}

  /** A plan that yields column batches, and where in them each output column is. */
  record Columnar(SparkPlan plan, int[] columns) {}

  /** Runs the query stages of an adaptive plan (shuffles) and returns what is left to run. */
  static SparkPlan runStages(SparkPlan plan) {
    if (plan instanceof AdaptiveSparkPlanExec adaptive) {
      return runStages(adaptive.finalPhysicalPlan());
    }
    return plan instanceof ResultQueryStageExec result ? runStages(result.plan()) : plan;
  }

  /** The columnar form of {@code plan}, or null where some step needs rows. */
  static Columnar columnar(SparkPlan plan) {
    SparkPlan below = plan;
    NamedExpression[] wanted = attributes(plan);
    while (!below.supportsColumnar()) {
      if (below instanceof WholeStageCodegenExec stage) {
        below = stage.child();
      } else if (below instanceof InputAdapter adapter) {
        below = adapter.child();
      } else if (below instanceof ColumnarToRowExec toRow) {
        below = toRow.child();
      } else if (below instanceof ProjectExec project) {
        wanted = throughProject(wanted, project);
        if (wanted == null) {
          return null;
        }
        below = project.child();
      } else {
        return null;
      }
    }
    Map<ExprId, Integer> position = new HashMap<>();
    for (int i = 0; i < below.output().size(); i++) {
      position.put(below.output().apply(i).exprId(), i);
    }
    int[] columns = new int[wanted.length];
    for (int i = 0; i < columns.length; i++) {
      Integer at = position.get(wanted[i].exprId());
      if (at == null) {
        return null;
      }
      columns[i] = at;
    }
    return new Columnar(below, columns);
  }

  private static NamedExpression[] attributes(SparkPlan plan) {
    NamedExpression[] output = new NamedExpression[plan.output().size()];
    for (int i = 0; i < output.length; i++) {
      output[i] = plan.output().apply(i);
    }
    return output;
  }

  /** What {@code wanted} is called under a projection that only renames; else null. */
  private static NamedExpression[] throughProject(NamedExpression[] wanted, ProjectExec project) {
    Map<ExprId, Attribute> source = new HashMap<>();
    for (int i = 0; i < project.projectList().size(); i++) {
      NamedExpression expression = project.projectList().apply(i);
      if (expression instanceof Alias alias && alias.child() instanceof AttributeReference child) {
        source.put(alias.exprId(), child);
      } else if (expression instanceof AttributeReference attribute) {
        source.put(attribute.exprId(), attribute);
      } else {
        return null;
      }
    }
    NamedExpression[] renamed = new NamedExpression[wanted.length];
    for (int i = 0; i < wanted.length; i++) {
      renamed[i] = source.get(wanted[i].exprId());
      if (renamed[i] == null) {
        return null;
      }
    }
    return renamed;
  }
}

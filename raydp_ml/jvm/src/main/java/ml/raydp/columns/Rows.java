package ml.raydp.columns;

import ml.raydp.exchange.Neighbours;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.sql.execution.QueryExecution;

/** The rows of a DataFrame, in no more tasks than pay. */
final class Rows {
  private Rows() {}

  static JavaRDD<InternalRow> of(Dataset<?> data) {
    QueryExecution query = data.queryExecution();
    RDD<InternalRow> rows = query.toRdd(); // before the plan, of which it runs the first stages
    return Neighbours.grouped(rows, query.executedPlan(), data.sparkSession().sparkContext())
        .toJavaRDD();
  }
}

package ml.raydp.exchange;

import java.util.Arrays;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.classic.Dataset;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.StructType;

/** Arrow blocks to Spark; an instance is called from Python through py4j. */
public final class BlockImport {
  /**
   * A DataFrame whose partitions read from the block servers when they are computed.
   *
   * @param endpoints the servers, see {@link Endpoint}
   * @param parts one partition a line: {@code endpoint,part}
   * @param schema the Spark schema as JSON
   */
  public Dataset<?> dataFrame(
      SparkSession session,
      String endpoints,
      String secret,
      String table,
      String parts,
      String schema) {
    int[][] ids =
        parts.isEmpty()
            ? new int[0][]
            : parts
                .lines()
                .map(line -> Arrays.stream(line.split(",")).mapToInt(Integer::parseInt).toArray())
                .toArray(int[][]::new);
    RDD<InternalRow> rdd =
        new BlockRDD(session.sparkContext(), Endpoint.parse(endpoints), secret, table, ids);
    return session.internalCreateDataFrame(
        rdd, (StructType) DataType.fromJson(schema), false);
  }
}

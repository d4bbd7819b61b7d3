package ml.raydp.trees;

import java.io.Serializable;
import java.nio.ByteBuffer;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.classic.SparkSession;

/** What is called for each row, by as many threads as Spark likes: it keeps nothing of a row. */
abstract class RowFunction<F> implements Serializable {
  private static final long serialVersionUID = 1;

  // (Bytes: in a local session of the user's own, whose jar came late, the class of what is
  // broadcast would be another one than the tasks'.)
  private final Broadcast<byte[][]> shared;
  private final float missing;
  private transient volatile F forest;
  private transient volatile Categories categories;

  /**
   * Takes what Python has packed.
   *
   * @param trees as the forest reads them
   * @param categories as {@link Categories} reads them
   * @param missing the value that stands for a missing one, as NaN and null do
   */
  RowFunction(SparkSession spark, byte[] trees, byte[] categories, double missing) {
    JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    shared = context.broadcast(new byte[][] {trees, categories});
    this.missing = (float) missing;
  }

  /** Unpacks the trees. */
  abstract F unpacked(ByteBuffer packed);

  F forest() {
    // (Two threads may both unpack it, into the same.)
    F made = forest;
    if (made == null) {
      made = unpacked(ByteBuffer.wrap(shared.value()[0]));
      forest = made;
    }
    return made;
  }

  /** Reads a row of so many features: their numbers, and the texts of those with categories. */
  Cells cells(ArrayData row, ArrayData texts, int features) {
    Categories made = categories;
    if (made == null) {
      made = new Categories(ByteBuffer.wrap(shared.value()[1]));
      categories = made;
    }
    return new Cells(row, texts, made, features, missing);
  }
}

package ml.raydp.trees;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.unsafe.types.UTF8String;

/** The categories of some features, by the places that they have in trees. */
final class Categories {
  private final int[] features;
  private final List<Map<UTF8String, Integer>> places = new ArrayList<>();

  /**
   * Reads what Python has packed: the number of features with categories; and of each its place
   * among all features, the number of its categories, and of each of these the length in bytes and
   * the text.
   */
  Categories(ByteBuffer packed) {
    features = new int[packed.getInt()];
    for (int i = 0; i < features.length; i++) {
      features[i] = packed.getInt();
      int count = packed.getInt();
      Map<UTF8String, Integer> of = new HashMap<>();
      for (int place = 0; place < count; place++) {
        byte[] text = new byte[packed.getInt()];
        packed.get(text);
        of.put(UTF8String.fromString(new String(text, StandardCharsets.UTF_8)), place);
      }
      places.add(of);
    }
  }

  int count() {
    return features.length;
  }

  int feature(int index) {
    return features[index];
  }

  /** The place of a text among the categories of a feature; NaN, a missing value, for none. */
  float code(int index, UTF8String text) {
    Integer place = places.get(index).get(text);
    return place == null ? Float.NaN : place;
  }
}

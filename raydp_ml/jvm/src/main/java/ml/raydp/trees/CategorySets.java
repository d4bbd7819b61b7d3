package ml.raydp.trees;

import java.nio.ByteBuffer;

/** The sets of categories that the nodes of trees ask for, one after another. */
final class CategorySets {
  /** Set in the feature of a node that asks for a category. */
  static final int ASKED = 1 << 30;

  /** Of each set how many words, then as many words of a bit for each category. */
  private final int[] words;

  /** Reads what Python has packed: how many words the sets have together, and these. */
  CategorySets(ByteBuffer packed) {
    words = new int[packed.getInt()];
    for (int i = 0; i < words.length; i++) {
      words[i] = packed.getInt();
    }
  }

  /** Returns where a set begins, and makes sure that all of it is there. */
  int checked(int start) {
    Forest.checked(start + words[Forest.checked(start, words.length)], words.length);
    return start;
  }

  /** Whether the set that begins at a place holds the category of a key. */
  boolean holds(int start, int key) {
    int category = (int) Forest.value(key);
    int word = category >>> 5;
    return word < words[start] && (words[start + 1 + word] >>> category & 1) != 0;
  }
}

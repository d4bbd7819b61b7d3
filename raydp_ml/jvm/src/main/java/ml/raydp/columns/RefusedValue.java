package ml.raydp.columns;

/** A value that a transformer takes no more than scikit-learn's does; Python knows it by name. */
public final class RefusedValue extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  RefusedValue(String message) {
    super(message);
  }
}

package ml.raydp.cluster;

import java.util.function.Predicate;
import scala.Function1;
import scala.runtime.AbstractPartialFunction;
import scala.runtime.BoxedUnit;

/** A Scala partial function over messages, made of a Java one that says whether it took one. */
final class Handler extends AbstractPartialFunction<Object, BoxedUnit> {

  private final Predicate<Object> handle;

  Handler(Predicate<Object> handle) {
    this.handle = handle;
  }

  @Override
  public boolean isDefinedAt(Object message) {
    return true;
  }

  @Override
  public <A1, B1> B1 applyOrElse(A1 message, Function1<A1, B1> otherwise) {
    return handle.test(message) ? null : otherwise.apply(message);
  }
}

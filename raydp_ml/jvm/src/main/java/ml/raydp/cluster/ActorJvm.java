package ml.raydp.cluster;

import sun.misc.Signal;

/** The JVM of a Ray actor. */
final class ActorJvm {

  /**
   * Ends it at once. {@code Runtime.halt} runs the exit handlers of native libraries, and Ray's
   * crashes where its threads still run: the JVM leaves an hs_err file in the user's folder.
   */
  static void kill() {
    Signal.raise(new Signal("KILL"));
  }

  private ActorJvm() {}
}

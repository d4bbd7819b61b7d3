package ml.raydp.cluster;

import java.io.IOException;

/** The JVM of a Ray actor. */
public final class ActorJvm {

  /**
   * Ends it by SIGKILL; does not return. {@code Runtime.halt} runs the exit handlers of native
   * libraries, and Ray's crashes where its threads still run: the JVM leaves an hs_err file in the
   * user's folder. Java itself can send its own process no such signal.
   */
  public static void kill() {
    String pid = String.valueOf(ProcessHandle.current().pid());
    try {
      Process shell = new ProcessBuilder("/bin/sh", "-c", "kill -KILL \"$0\"", pid).start();
      shell.onExit().join(); // not waitFor: Spark interrupts some of the threads that come here
    } catch (IOException error) {
      error.printStackTrace();
    }
    Runtime.getRuntime().halt(1);
  }

  private ActorJvm() {}
}

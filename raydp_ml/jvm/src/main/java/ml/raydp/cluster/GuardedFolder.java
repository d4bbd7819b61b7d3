package ml.raydp.cluster;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;

/** This JVM's folder for temporary files, which goes when the JVM does, even after kill -9. */
final class GuardedFolder {

  // A shell of its own session outlives the JVM and whatever Ray ends with it. It looks every
  // second: a pipe that only the JVM holds is no help, since Java closes it with its direct child.
  private static final String SCRIPT =
      """
      watch='while kill -0 "$2" 2> /dev/null; do sleep 1; done
      if [ -f "$1/others" ]; then while read -r other; do rm -rf "$other"; done < "$1/others"; fi
      rm -rf "$1" || { sleep 1; rm -rf "$1"; }'
      if command -v setsid > /dev/null; then
          setsid /bin/sh -c "$watch" raydp_ml-guard "$1" "$2" &
      else
          /bin/sh -c "$watch" raydp_ml-guard "$1" "$2" &
      fi
      """;

  /** Makes the folder that {@link JavaOptions} has named when this JVM was started. */
  static Path create() throws IOException {
    Path folder = Path.of(System.getProperty("java.io.tmpdir"));
    Files.createDirectories(folder.getParent());
    // Files that users send to executors may be private, and Ray's folder is open to everybody.
    Files.createDirectory(
        folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    String pid = String.valueOf(ProcessHandle.current().pid());
    new ProcessBuilder("/bin/sh", "-c", SCRIPT, "raydp_ml-guard", folder.toString(), pid)
        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
        .redirectError(ProcessBuilder.Redirect.DISCARD)
        .start();
    return folder;
  }

  /** Has folders elsewhere removed too, when the JVM ends. */
  static void add(Path folder, List<String> others) {
    try {
      Files.write(folder.resolve("others"), others);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private GuardedFolder() {}
}

package ml.raydp.cluster;

import java.util.ArrayList;
import java.util.List;
import org.apache.spark.launcher.JavaModuleOptions;

/** Options of the JVMs that live in Ray actors. */
final class JavaOptions {

  /** For the AppMaster, which does little: quick to start rather than quick to run. */
  static final List<String> SMALL =
      List.of("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1");

  /**
   * What each of them needs. Ray's own class path gives way to a second one.
   *
   * @param name of the JVM's log, and of its folder in Ray's session folder
   */
  static List<String> of(Settings settings, String name) {
    String unique = settings.get(Settings.APP_ID) + "-" + name;
    List<String> options = new ArrayList<>(List.of("-cp", settings.get(Settings.CLASS_PATH)));
    if (!settings.get(Settings.ARCHIVE).isEmpty()) {
      options.add("-XX:SharedArchiveFile=" + settings.get(Settings.ARCHIVE));
      options.add("-Xlog:cds*=error"); // where it does not fit, the JVM does without
    }
    options.addAll(List.of(JavaModuleOptions.defaultModuleOptionArray()));
    options.add(Logging.option());
    options.add("-D" + Logging.FILE_OPTION + "=" + unique + ".log");
    options.add("-Djava.io.tmpdir=" + settings.get(Settings.SESSION_FOLDER) + "/" + unique);
    return options;
  }

  private JavaOptions() {}
}

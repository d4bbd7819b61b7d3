package ml.raydp.cluster;

import java.net.URI;
import org.apache.logging.log4j.core.config.Configurator;

/** Ray reconfigures log4j when it starts a JVM; this puts our configuration back. */
final class Logging {

  private static final String OPTION = "log4j2.configurationFile";
  static final String FILE_OPTION = "raydp_ml.log";

  /** The option of a JVM in a Ray actor that logs to {@code file} in Ray's log folder. */
  static String option() {
    return "-D" + OPTION + "=classpath:ml/raydp/cluster/log4j2.properties";
  }

  static void apply() {
    Configurator.reconfigure(URI.create(System.getProperty(OPTION)));
  }

  private Logging() {}
}

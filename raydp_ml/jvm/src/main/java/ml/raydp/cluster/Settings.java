package ml.raydp.cluster;

import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Properties;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkConf$;
import scala.Tuple2;

/**
 * What the driver tells the AppMaster and its executors, as the text of a Java properties file:
 * Ray's Java actors take plain strings, and no collections on Java 17.
 *
 * <p>The text travels as the argument of a method, never of a constructor, since it carries the
 * session's secret and Ray keeps the arguments of constructors.
 */
final class Settings {

  static final String SECRET = "spark.authenticate.secret";
  static final String PREFIX = "spark.raydp_ml.";
  static final String DRIVER_URL = PREFIX + "driverUrl";
  static final String APP_ID = PREFIX + "appId";
  static final String CLASS_PATH = "spark.executor.extraClassPath";
  static final String ARCHIVE = PREFIX + "classArchive";
  static final String SESSION_FOLDER = PREFIX + "ray.session-dir";
  static final String MASTER_RESOURCE = PREFIX + "masterResource";
  static final String RESOURCES = PREFIX + "executorResources";
  static final String PLACEMENT_GROUP = PREFIX + "placementGroup";
  static final String BUNDLES = PREFIX + "bundles";
  static final String JAVA_OPTIONS = PREFIX + "executorJavaOptions";
  static final String CORES = "spark.executor.cores";
  static final String EXECUTOR_ID = PREFIX + "executorId";

  /** Those of Spark's configuration that are meant for an AppMaster. */
  static final List<String> OF_APP_MASTER =
      List.of(
          APP_ID,
          CLASS_PATH,
          ARCHIVE,
          SESSION_FOLDER,
          MASTER_RESOURCE,
          RESOURCES,
          PLACEMENT_GROUP,
          BUNDLES,
          CORES);

  private final Properties values = new Properties();

  /** What every process needs to talk to the driver: addresses, time-outs, and the secret. */
  static Settings toReachDriver(SparkConf conf) {
    Settings settings = new Settings();
    for (Tuple2<String, String> entry : conf.getAll()) {
      if (SparkConf$.MODULE$.isExecutorStartupConf(entry._1()) || entry._1().equals(SECRET)) {
        settings.values.setProperty(entry._1(), entry._2());
      }
    }
    return settings;
  }

  static Settings parse(String text) {
    Settings settings = new Settings();
    try {
      settings.values.load(new StringReader(text));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return settings;
  }

  Settings with(String key, String value) {
    values.setProperty(key, value);
    return this;
  }

  /** Everything but what only the AppMaster needs. */
  Settings forExecutor(String id) {
    Settings settings = new Settings();
    settings.values.putAll(values);
    for (String key : List.of(CLASS_PATH, ARCHIVE, RESOURCES, PLACEMENT_GROUP, JAVA_OPTIONS)) {
      settings.values.remove(key);
    }
    return settings.with(EXECUTOR_ID, id);
  }

  String get(String key) {
    return values.getProperty(key, "");
  }

  int getInt(String key) {
    return Integer.parseInt(values.getProperty(key));
  }

  /** The part that is Spark's own configuration. */
  SparkConf sparkConf() {
    SparkConf conf = new SparkConf(false);
    for (String key : values.stringPropertyNames()) {
      if (!key.startsWith(PREFIX)) {
        conf.set(key, values.getProperty(key));
      }
    }
    return conf;
  }

  String text() {
    StringWriter writer = new StringWriter();
    try {
      values.store(writer, null);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return writer.toString();
  }
}

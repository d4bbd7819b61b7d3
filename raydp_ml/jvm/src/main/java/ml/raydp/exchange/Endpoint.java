package ml.raydp.exchange;

import java.io.IOException;
import java.io.Serializable;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.util.Utils;

/**
 * Where one block server listens. A list of them travels as text, one per line: {@code
 * nodeId|host|port|certificate|unixPath}; port 0 means that it does not listen on TCP.
 */
record Endpoint(
    int index, String nodeId, String host, int port, String certificate, String path)
    implements Serializable {

  /** Ours write it into the environment of the executors that they start. */
  private static final String NODE_ID = "RAYDP_ML_NODE_ID";

  static List<Endpoint> parse(String text) {
    List<Endpoint> endpoints = new ArrayList<>();
    for (String line : text.split("\n")) {
      String[] parts = line.split("\\|", 5);
      int port = Integer.parseInt(parts[2]);
      endpoints.add(
          new Endpoint(endpoints.size(), parts[0], parts[1], port, parts[3], parts[4]));
    }
    return endpoints;
  }

  /** The server of this executor's Ray node, else one on this host, else the first. */
  static Endpoint nearest(List<Endpoint> endpoints) {
    String node = System.getProperty(NODE_ID, System.getenv(NODE_ID));
    for (Endpoint endpoint : endpoints) {
      if (endpoint.nodeId.equals(node)) {
        return endpoint;
      }
    }
    for (Endpoint endpoint : endpoints) {
      if (endpoint.isLocal() || endpoint.host.equals(Utils.localHostName())) {
        return endpoint;
      }
    }
    return endpoints.get(0);
  }

  /**
   * The path bears a random name: where it exists, the server is on this host. One that somebody
   * else has put there is not to hear the secret.
   */
  private boolean isLocal() {
    try {
      Object owner = Files.getAttribute(Path.of(path), "unix:uid");
      return owner.equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
    } catch (IOException | UnsupportedOperationException error) {
      return false;
    }
  }

  private Connection connect() throws IOException {
    if (isLocal()) {
      try {
        return Connection.local(path);
      } catch (SocketException error) { // of a server that has ended, or of another host's
        if (port > 0) { // the path is on a disk that both share
          return Connection.remote(host, port, certificate);
        }
      }
    } else if (port > 0) {
      return Connection.remote(host, port, certificate);
    }
    throw new IOException(
        "The block server " + path + " of Ray node " + nodeId + " cannot be reached from "
            + Utils.localHostName() + ": it has ended, or runs on another host.");
  }

  /** Connects and sends the request line, which carries the secret. */
  Connection request(String line) throws IOException {
    Connection connection = connect();
    ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
    while (bytes.hasRemaining()) {
      connection.write(bytes);
    }
    return connection;
  }
}

package ml.raydp.exchange;

import java.io.IOException;
import java.io.Serializable;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.util.Utils;

/**
 * Where one block server listens. A list of them travels as text, one per line: {@code
 * nodeId|host|port|unixPath}; port 0 means that it does not listen on TCP.
 */
record Endpoint(int index, String nodeId, String host, int port, String path)
    implements Serializable {

  /** Ours write it into the environment of the executors that they start. */
  private static final String NODE_ID = "RAYDP_ML_NODE_ID";

  private static final int CONNECT_TIMEOUT_MS = 20_000;

  static List<Endpoint> parse(String text) {
    List<Endpoint> endpoints = new ArrayList<>();
    for (String line : text.split("\n")) {
      String[] parts = line.split("\\|", 4);
      endpoints.add(
          new Endpoint(
              endpoints.size(), parts[0], parts[1], Integer.parseInt(parts[2]), parts[3]));
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

  /** The path bears a random name: where it exists, the server is on this host. */
  private boolean isLocal() {
    return Files.exists(Path.of(path));
  }

  /** Connects and sends the request line, which carries the secret. */
  SocketChannel request(String line) throws IOException {
    SocketChannel channel;
    if (isLocal()) {
      channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
    } else if (port > 0) {
      channel = SocketChannel.open();
      channel.socket().connect(new InetSocketAddress(host, port), CONNECT_TIMEOUT_MS);
    } else {
      throw new IOException(
          "The block server " + path + " of Ray node " + nodeId + " cannot be reached from "
              + Utils.localHostName() + ": it has ended, or runs on another host.");
    }
    ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
    return channel;
  }

  /** Reads the server's answer: a zero byte, or a message that says what went wrong. */
  static void expectOk(SocketChannel channel) throws IOException {
    var in = Channels.newInputStream(channel);
    int status = in.read();
    if (status != 0) {
      String text = status < 0 ? "" : new String(in.readAllBytes(), StandardCharsets.UTF_8);
      throw new IOException(
          text.isEmpty() ? "The block server closed the connection: it has ended." : text);
    }
  }
}

package ml.raydp.exchange;

import java.io.ByteArrayInputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SocketChannel;
import java.nio.channels.WritableByteChannel;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Base64;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** A connection to a block server: a Unix-domain socket on its host, TLS over TCP elsewhere. */
final class Connection implements ByteChannel {
  private static final int CONNECT_TIMEOUT_MS = 20_000;

  /** A server that takes and sends nothing for so long has hung; it may wait for Ray meanwhile. */
  private static final int SILENCE_MS = 900_000;

  private final ReadableByteChannel in;
  private final WritableByteChannel out;
  private final Closeable socket;
  private boolean open = true;

  private Connection(ReadableByteChannel in, WritableByteChannel out, Closeable socket) {
    this.in = in;
    this.out = out;
    this.socket = socket;
  }

  static Connection local(String path) throws IOException {
    SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
    return new Connection(channel, channel, channel);
  }

  /** Takes a server that has this certificate (DER, in base64), whatever name it bears. */
  @SuppressWarnings("resource") // the connection owns the socket
  static Connection remote(String host, int port, String certificate) throws IOException {
    Socket plain = new Socket();
    try {
      plain.connect(new InetSocketAddress(host, port), CONNECT_TIMEOUT_MS);
      plain.setSoTimeout(CONNECT_TIMEOUT_MS);
      plain.setKeepAlive(true);
      var socket =
          (SSLSocket) trusting(certificate).getSocketFactory().createSocket(plain, host, port, true);
      socket.startHandshake();
      socket.setSoTimeout(SILENCE_MS);
      return new Connection(
          Channels.newChannel(socket.getInputStream()),
          Channels.newChannel(socket.getOutputStream()),
          socket);
    } catch (IOException | GeneralSecurityException error) {
      plain.close();
      throw new IOException(
          "The block server at " + host + ":" + port + " cannot be reached: " + error, error);
    }
  }

  private static SSLContext trusting(String certificate)
      throws IOException, GeneralSecurityException {
    byte[] der = Base64.getDecoder().decode(certificate);
    KeyStore known = KeyStore.getInstance(KeyStore.getDefaultType());
    known.load(null, null);
    known.setCertificateEntry(
        "server",
        CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der)));
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(known);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }

  @Override
  public int read(ByteBuffer target) throws IOException {
    try {
      return in.read(target);
    } catch (IOException error) {
      throw told(error);
    }
  }

  @Override
  public int write(ByteBuffer source) throws IOException {
    try {
      return out.write(source);
    } catch (IOException error) {
      throw told(error);
    }
  }

  /** Says who has ended, as "Connection reset" does not; an end of this side is no news. */
  private static IOException told(IOException error) {
    if (error instanceof SocketTimeoutException || error instanceof ClosedChannelException) {
      return error;
    }
    return new IOException(
        "The block server closed the connection: it has ended (" + error + ").", error);
  }

  @Override
  public boolean isOpen() {
    return open;
  }

  @Override
  public void close() throws IOException {
    open = false;
    socket.close();
  }

  /** Reads the server's answer: a zero byte, or a message that says what went wrong. */
  void expectOk() throws IOException {
    InputStream answer = Channels.newInputStream(this);
    int status = answer.read();
    if (status != 0) {
      byte[] size = status < 0 ? new byte[0] : answer.readNBytes(Integer.BYTES);
      byte[] text =
          size.length < Integer.BYTES
              ? new byte[0]
              : answer.readNBytes(ByteBuffer.wrap(size).getInt());
      throw new IOException(
          text.length == 0
              ? "The block server closed the connection: it has ended."
              : new String(text, java.nio.charset.StandardCharsets.UTF_8));
    }
  }

  /** Reads the number that follows. */
  long readLong() throws IOException {
    byte[] bytes = Channels.newInputStream(this).readNBytes(Long.BYTES);
    if (bytes.length < Long.BYTES) {
      throw new IOException("The block server closed the connection: it has ended.");
    }
    return ByteBuffer.wrap(bytes).getLong();
  }
}

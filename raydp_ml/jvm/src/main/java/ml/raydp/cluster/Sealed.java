package ml.raydp.cluster;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Text for an actor on another host, whose arguments Ray sends as they are: sealed (X25519,
 * SHA-256, AES-GCM) so that only the actor that gave its public key can open it. See sealing.py.
 */
final class Sealed {
  private static final String CURVE = "X25519";
  private static final int NONCE = 12;
  private static final int TAG_BITS = 128;

  private final KeyPair keys;

  private Sealed(KeyPair keys) {
    this.keys = keys;
  }

  /** The receiver's side. */
  static Sealed receiver() {
    return new Sealed(newKeys());
  }

  /** What {@link #seal} takes. */
  String publicKey() {
    return Base64.getEncoder().encodeToString(keys.getPublic().getEncoded());
  }

  static String seal(String text, String publicKey) {
    try {
      byte[] receiver = Base64.getDecoder().decode(publicKey);
      KeyPair sender = newKeys();
      byte[] nonce = new byte[NONCE];
      new SecureRandom().nextBytes(nonce);
      byte[] from = sender.getPublic().getEncoded();
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      SecretKeySpec key = key(sender.getPrivate(), receiver, from, receiver);
      cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, nonce));
      byte[] hidden = cipher.doFinal(text.getBytes(StandardCharsets.UTF_8));
      ByteBuffer sealed = ByteBuffer.allocate(1 + from.length + NONCE + hidden.length);
      sealed.put((byte) from.length).put(from).put(nonce).put(hidden);
      return Base64.getEncoder().encodeToString(sealed.array());
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  String open(String sealed) {
    try {
      ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(sealed));
      byte[] from = new byte[bytes.get()];
      byte[] nonce = new byte[NONCE];
      bytes.get(from).get(nonce);
      byte[] hidden = new byte[bytes.remaining()];
      bytes.get(hidden);
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      SecretKeySpec key = key(keys.getPrivate(), from, from, keys.getPublic().getEncoded());
      cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, nonce));
      return new String(cipher.doFinal(hidden), StandardCharsets.UTF_8);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static KeyPair newKeys() {
    try {
      return KeyPairGenerator.getInstance(CURVE).generateKeyPair();
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static SecretKeySpec key(PrivateKey own, byte[] others, byte[] sender, byte[] receiver)
      throws GeneralSecurityException {
    PublicKey other = KeyFactory.getInstance(CURVE).generatePublic(new X509EncodedKeySpec(others));
    KeyAgreement agreement = KeyAgreement.getInstance(CURVE);
    agreement.init(own);
    agreement.doPhase(other, true);
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    digest.update(agreement.generateSecret());
    digest.update(sender);
    digest.update(receiver);
    return new SecretKeySpec(digest.digest(), "AES");
  }
}

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * How a register sends to the Renkei gateway, with a JDK 17 and no library. All that matters is in {@link #encrypt} and {@link #post}.
 *
 * <pre>
 *   java RenkeiSender.java encrypt KEYS.jwks                                       &lt; message.xml &gt; message.jwe
 *   java RenkeiSender.java keys    https://HOST:PORT CLIENT.p12 PASSWORD-FILE CA.pem           &gt; KEYS.jwks
 *   java RenkeiSender.java post    https://HOST:PORT CLIENT.p12 PASSWORD-FILE CA.pem TYPE SOURCE [ID] &lt; message.xml
 * </pre>
 *
 * Exit codes: 0 done (post: accepted, the receipt is on standard output), 1 refused for good, 2 wrong use, 3 not accepted now: send the same
 * message with the same id again.
 */
public final class RenkeiSender {
    private static final String ALGORITHM = "ECDH-ES+A256KW";
    private static final String ENCRYPTION = "A256GCM";
    private static final int COORDINATE = 32;
    private static final int ATTEMPTS = 5;
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final Base64.Encoder BASE64URL = Base64.getUrlEncoder().withoutPadding();

    private RenkeiSender() {}

    public static void main(String[] args) throws Exception {
        if (args.length == 2 && args[0].equals("encrypt")) {
            String token = encrypt(System.in.readAllBytes(), Files.readString(Path.of(args[1])));
            System.out.print(token);
        } else if (args.length == 5 && args[0].equals("keys")) {
            HttpClient client = client(Path.of(args[2]), Path.of(args[3]), Path.of(args[4]));
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[1] + "/v1/keys")).timeout(Duration.ofSeconds(30)).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            utf8(answer.statusCode() == 200 ? System.out : System.err).print(answer.body());
            System.exit(answer.statusCode() == 200 ? 0 : 1);
        } else if ((args.length == 7 || args.length == 8) && args[0].equals("post")) {
            HttpClient client = client(Path.of(args[2]), Path.of(args[3]), Path.of(args[4]));
            String id = args.length == 8 ? args[7] : UUID.randomUUID().toString();
            System.exit(post(client, args[1], args[5], args[6], id, System.in.readAllBytes()));
        } else {
            System.err.println("use: encrypt KEYS.jwks | keys URL P12 PASSWORD-FILE CA | post URL P12 PASSWORD-FILE CA TYPE SOURCE [ID]");
            System.exit(2);
        }
    }

    /**
     * The message as the body for AMQP (content type application/jose): JWE compact serialisation (RFC 7516), ECDH-ES+A256KW (RFC 7518, 4.6)
     * with A256GCM, for the current key of the gateway.
     *
     * @param jwks what GET /v1/keys answered: fetch it again at least once a day, and at once when a message was refused with jwe-key-unknown
     */
    static String encrypt(byte[] message, String jwks) throws GeneralSecurityException {
        Jwk key = Jwk.current(jwks);
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair ephemeral = generator.generateKeyPair(); // a new one for every message
        ECPublicKey ours = (ECPublicKey) ephemeral.getPublic();

        ECPublicKeySpec theirs = new ECPublicKeySpec(new ECPoint(key.x, key.y), ours.getParams());
        KeyAgreement agreement = KeyAgreement.getInstance("ECDH");
        agreement.init(ephemeral.getPrivate());
        agreement.doPhase(KeyFactory.getInstance("EC").generatePublic(theirs), true);
        SecretKey wrapping = new SecretKeySpec(concatKdf(agreement.generateSecret()), "AES");

        byte[] contentKey = new byte[32];
        byte[] iv = new byte[12];
        RANDOM.nextBytes(contentKey);
        RANDOM.nextBytes(iv);
        SecretKey content = new SecretKeySpec(contentKey, "AES");
        Cipher wrap = Cipher.getInstance("AESWrap");
        wrap.init(Cipher.WRAP_MODE, wrapping);
        byte[] wrapped = wrap.wrap(content);

        String header = "{\"alg\":\"" + ALGORITHM + "\",\"enc\":\"" + ENCRYPTION + "\",\"kid\":\"" + key.kid + "\",\"cty\":\"application/xml\","
            + "\"epk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" + coordinate(ours.getW().getAffineX())
            + "\",\"y\":\"" + coordinate(ours.getW().getAffineY()) + "\"}}";
        String protectedHeader = BASE64URL.encodeToString(header.getBytes(StandardCharsets.UTF_8));

        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, content, new GCMParameterSpec(128, iv));
        cipher.updateAAD(protectedHeader.getBytes(StandardCharsets.US_ASCII));
        byte[] sealed = cipher.doFinal(message); // ciphertext, and the tag in the last 16 bytes
        byte[] text = Arrays.copyOf(sealed, sealed.length - 16);
        byte[] tag = Arrays.copyOfRange(sealed, sealed.length - 16, sealed.length);
        return String.join(".", protectedHeader, BASE64URL.encodeToString(wrapped), BASE64URL.encodeToString(iv),
            BASE64URL.encodeToString(text), BASE64URL.encodeToString(tag));
    }

    /** The key derivation of RFC 7518, 4.6.2 for 256 bits: one round of SHA-256; no party information (apu, apv). */
    static byte[] concatKdf(byte[] secret) throws GeneralSecurityException {
        byte[] algorithm = ALGORITHM.getBytes(StandardCharsets.US_ASCII);
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        sha256.update(uint32(1));
        sha256.update(secret);
        sha256.update(uint32(algorithm.length));
        sha256.update(algorithm);
        sha256.update(uint32(0)); // apu
        sha256.update(uint32(0)); // apv
        sha256.update(uint32(256)); // bits of key
        return sha256.digest();
    }

    /**
     * Hands one message in by HTTPS. Only 202 is acceptance. After 429, 503, a time-out or a broken connection the same message is sent again
     * with the same id: if it had been accepted after all, the answer is the same receipt.
     */
    static int post(HttpClient client, String base, String type, String source, String id, byte[] message)
            throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + "/v1/messages"))
            .timeout(Duration.ofSeconds(60))
            .header("ce-specversion", "1.0")
            .header("ce-id", id)
            .header("ce-source", source)
            .header("ce-type", type)
            .header("Content-Type", "application/xml")
            .POST(HttpRequest.BodyPublishers.ofByteArray(message))
            .build();
        for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
            long waitSeconds = Math.min(60, 1L << attempt);
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
                int status = answer.statusCode();
                if (status == 202) {
                    utf8(System.out).print(answer.body());
                    return 0;
                }
                utf8(System.err).println("id " + id + " status " + status + " " + answer.body());
                if (status < 500 && status != 429 && status != 408) {
                    return 1; // refused for good: the problem document names code, rule and place
                }
                waitSeconds = answer.headers().firstValue("Retry-After").map(Long::parseLong).orElse(waitSeconds);
            } catch (IOException broken) {
                System.err.println("id " + id + " no answer: " + broken.getClass().getSimpleName());
            }
            if (attempt < ATTEMPTS) {
                Thread.sleep(Duration.ofSeconds(waitSeconds).toMillis());
            }
        }
        return 3;
    }

    /** Mutual TLS: our certificate and key from a PKCS #12 file, the gateway's authority from a PEM file. */
    static HttpClient client(Path pkcs12, Path passwordFile, Path authority) throws GeneralSecurityException, IOException {
        char[] password = Files.readString(passwordFile).strip().toCharArray();
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(pkcs12)) {
            own.load(in, password);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, password);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream in = Files.newInputStream(authority)) {
            int number = 0;
            for (Certificate each : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                trusted.setCertificateEntry("authority-" + number++, each);
            }
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(keys.getKeyManagers(), trust.getTrustManagers(), RANDOM);
        return HttpClient.newBuilder().sslContext(tls).version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();
    }

    /** The gateway's public key. A JWK set of the gateway is flat: strings without escapes, so that two patterns read it. */
    record Jwk(String kid, BigInteger x, BigInteger y) {
        private static final Pattern OBJECT = Pattern.compile("\\{[^{}\\[\\]]*\\}");

        static Jwk current(String jwks) {
            Matcher objects = OBJECT.matcher(jwks);
            while (objects.find()) {
                String key = objects.group();
                if ("EC".equals(member(key, "kty")) && "P-256".equals(member(key, "crv")) && ALGORITHM.equals(member(key, "alg"))) {
                    Base64.Decoder decoder = Base64.getUrlDecoder();
                    return new Jwk(member(key, "kid"), new BigInteger(1, decoder.decode(member(key, "x"))),
                        new BigInteger(1, decoder.decode(member(key, "y"))));
                }
            }
            throw new IllegalArgumentException("the JWK set holds no P-256 key for " + ALGORITHM);
        }

        private static String member(String object, String name) {
            Matcher found = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"\\\\]*)\"").matcher(object);
            return found.find() ? found.group(1) : null;
        }
    }

    private static String coordinate(BigInteger value) {
        byte[] signed = value.toByteArray(); // may have a leading zero for the sign, or fewer than 32 bytes
        byte[] fixed = new byte[COORDINATE];
        int from = Math.max(0, signed.length - COORDINATE);
        System.arraycopy(signed, from, fixed, COORDINATE - (signed.length - from), signed.length - from);
        return BASE64URL.encodeToString(fixed);
    }

    private static byte[] uint32(int value) {
        return ByteBuffer.allocate(4).putInt(value).array();
    }

    private static PrintStream utf8(PrintStream stream) {
        return new PrintStream(stream, true, StandardCharsets.UTF_8);
    }
}

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Uploads a file to chatfiles, downloads it and its thumbnail, with nothing but Java's own library. */
public class Client {
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static String token;

    public static void main(String[] args) throws Exception {
        String address = args[0];
        token = args[1];
        byte[] picture = Files.readAllBytes(Path.of(args[2]));

        String uploaded = upload(address, picture, 1).body();
        String uri = field(uploaded, "uri");
        String url = uri + "/" + field(uploaded, "uuid");
        String secret = field(uploaded, "share-secret");
        HttpResponse<byte[]> whole = download(url, "share-secret", secret);
        HttpResponse<byte[]> small = download(url, "share-secret", secret, "thumbnail", "true");
        HttpResponse<String> refused = upload(address, picture, 3);

        System.out.printf(
            "{\"uri\":\"%s\",\"downloaded\":%d,\"announced\":%d,\"isSame\":%b,\"thumbnail\":%d,\"refusal\":%d,\"refusalText\":\"%s\"}%n",
            uri,
            whole.body().length,
            whole.headers().firstValueAsLong("content-length").orElse(-1),
            Arrays.equals(whole.body(), picture),
            small.body().length,
            refused.statusCode(),
            field(refused.body(), "error_description"));
    }

    private static HttpResponse<String> upload(String address, byte[] content, int times) throws Exception {
        String boundary = UUID.randomUUID().toString();
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        body.writeBytes(("--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"picture.jpg\"\r\n"
            + "Content-Type: image/jpeg\r\n\r\n").getBytes(StandardCharsets.UTF_8));
        for (int i = 0; i < times; i++) body.writeBytes(content);
        body.writeBytes(("\r\n--" + boundary + "--\r\n").getBytes(StandardCharsets.UTF_8));
        HttpRequest request = HttpRequest.newBuilder(URI.create(address))
            .header("Authorization", "Bearer " + token)
            .header("restrict-access", "true")
            .header("Content-Type", "multipart/form-data; boundary=" + boundary)
            .POST(BodyPublishers.ofByteArray(body.toByteArray()))
            .build();
        return HTTP.send(request, BodyHandlers.ofString());
    }

    private static HttpResponse<byte[]> download(String url, String... more) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
            .header("Authorization", "Bearer " + token)
            .header("Accept", "application/octet-stream")
            .headers(more)
            .build();
        return HTTP.send(request, BodyHandlers.ofByteArray());
    }

    /** Java's library reads no JSON; for these answers a pattern will do. */
    private static String field(String json, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"]*)\"").matcher(json);
        return matcher.find() ? matcher.group(1) : "";
    }
}

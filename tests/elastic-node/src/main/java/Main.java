import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.Build;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch node in this process, with templates for the data streams that the collector
 * writes to.
 *
 * <pre>
 * java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
 *   --module-path BUILD/elasticsearch/lib --add-modules ALL-MODULE-PATH -cp BUILD/elastic-node.jar \
 *   Main BUILD/elasticsearch DATA-FOLDER [PORT]
 * </pre>
 *
 * Prints a line of JSON when it is ready, and ends when its standard input does, or on SIGTERM.
 *
 * <p>Elasticsearch's own templates for OpenTelemetry are in a plugin that this distribution lacks, and
 * so are some of their field types. The templates here map the same fields, with `keyword` for
 * `constant_keyword` and `version`, `text` for `match_only_text`, and `flattened` for `histogram`.
 */
public final class Main {
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  public static void main(String[] arguments) throws Exception {
    Path home = Path.of(arguments[0]);
    Path data = Path.of(arguments[1]);
    String port = arguments.length > 2 ? arguments[2] : "0";
    Files.createDirectories(data.resolve("config"));

    Settings settings =
        Settings.builder()
            .put("path.home", home.toAbsolutePath())
            .put("path.data", data.resolve("data").toAbsolutePath())
            .put("path.logs", data.resolve("logs").toAbsolutePath())
            .put("cluster.name", "colophon")
            .put("node.name", "colophon")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", port)
            .put("transport.port", "0")
            // A disk that is nearly full would make all indices read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    LogConfigurator.configureWithoutConfig(
        Settings.builder().put("logger.level", "WARN").build());
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(
            settings, Map.of(), data.resolve("config"), () -> "colophon");
    Node node =
        new Node(
            environment,
            PluginsLoader.createPluginsLoader(
                PluginsLoader.loadModulesBundles(environment.modulesDir()), Set.of(), Map.of()));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
    node.start();

    String url =
        "http://"
            + node.injector()
                .getInstance(HttpServerTransport.class)
                .boundAddress()
                .publishAddress();
    for (String signal : new String[] {"traces", "metrics", "logs"}) {
      createTemplate(url, signal);
    }
    System.out.printf("{\"url\":\"%s\",\"version\":\"%s\"}%n", url, Build.current().version());

    while (System.in.read() >= 0) {}
    System.exit(0);
  }

  private static void createTemplate(String url, String signal) throws Exception {
    try (InputStream template = Main.class.getResourceAsStream(signal + ".json")) {
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(url + "/_index_template/" + signal))
              .header("Content-Type", "application/json")
              .PUT(BodyPublishers.ofByteArray(template.readAllBytes()))
              .build();
      var answer = HTTP.send(request, BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IllegalStateException(signal + ": " + answer.body());
      }
    }
  }

  private static void close(Node node) {
    try {
      node.close();
    } catch (java.io.IOException error) {
      error.printStackTrace();
    }
  }
}

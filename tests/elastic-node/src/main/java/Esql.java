import static java.nio.charset.StandardCharsets.UTF_8;

import org.antlr.v4.runtime.BaseErrorListener;
import org.antlr.v4.runtime.CharStreams;
import org.antlr.v4.runtime.CommonTokenStream;
import org.antlr.v4.runtime.RecognitionException;
import org.antlr.v4.runtime.Recognizer;
import org.elasticsearch.xpack.esql.parser.EsqlBaseLexer;
import org.elasticsearch.xpack.esql.parser.EsqlBaseParser;

/**
 * Parses ES|QL with Elasticsearch's own grammar: the queries of its standard input, with a NUL
 * between them. It tells what is wrong, and ends with 1 then.
 *
 * <pre>java -cp 'BUILD/elastic-node.jar:BUILD/esql/*:BUILD/elasticsearch/lib/*' Esql</pre>
 */
public final class Esql {
  public static void main(String[] arguments) throws Exception {
    String queries = new String(System.in.readAllBytes(), UTF_8);
    if (queries.isBlank()) {
      throw new IllegalArgumentException("no queries");
    }
    int errors = 0;
    for (String query : queries.split("\0")) {
      errors += errors(query);
    }
    System.exit(errors == 0 ? 0 : 1);
  }

  private static int errors(String query) {
    Listener listener = new Listener();
    EsqlBaseLexer lexer = new EsqlBaseLexer(CharStreams.fromString(query));
    EsqlBaseParser parser = new EsqlBaseParser(new CommonTokenStream(lexer));
    for (Recognizer<?, ?> recognizer : new Recognizer<?, ?>[] {lexer, parser}) {
      recognizer.removeErrorListeners();
      recognizer.addErrorListener(listener);
    }
    parser.singleStatement();
    if (listener.errors > 0) {
      System.err.println("in\n" + query);
    }
    return listener.errors;
  }

  private static final class Listener extends BaseErrorListener {
    private int errors;

    @Override
    public void syntaxError(
        Recognizer<?, ?> recognizer,
        Object symbol,
        int line,
        int column,
        String message,
        RecognitionException error) {
      errors++;
      System.err.printf("%d:%d %s%n", line, column, message);
    }
  }
}

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs the statements of a file, one after the other, on a cluster within this process: `Statements SETTINGS FILE`. */
public class Statements {
    public static void main(String[] arguments) throws Exception {
        Configuration settings = new Configuration();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split(": ", 2);
            settings.setString(words[0], words[1]);
        }
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        for (String statement : Files.readString(Path.of(arguments[1])).split(";\n")) {
            if (!statement.isBlank()) {
                tables.executeSql(statement);
            }
        }
        // Threads of the cluster within would keep the process for a while.
        System.exit(0);
    }
}

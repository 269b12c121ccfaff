import java.sql.*;

/** JDBC: prepared statements, fetch size in a block, batches, metadata, errors. */
public class DriveJdbc {
    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), "")) {
            try (Statement s = c.createStatement()) {
                s.execute("CREATE TABLE jdbc(id int PRIMARY KEY, name text)");
            }
            try (PreparedStatement p = c.prepareStatement("INSERT INTO jdbc VALUES (?, ?)")) {
                for (int i = 0; i < 100; i++) {
                    p.setInt(1, i);
                    p.setString(2, "n" + i);
                    p.addBatch();
                }
                check(p.executeBatch().length == 100, "batch");
            }
            // Binary transfer begins after five executions.
            try (PreparedStatement p = c.prepareStatement("SELECT name FROM jdbc WHERE id = ?")) {
                for (int i = 0; i < 10; i++) {
                    p.setInt(1, i);
                    ResultSet r = p.executeQuery();
                    check(r.next() && r.getString(1).equals("n" + i), "lookup " + i);
                }
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(7);
                ResultSet r = s.executeQuery("SELECT id FROM jdbc ORDER BY id");
                int count = 0;
                while (r.next()) check(r.getInt(1) == count++, "order");
                check(count == 100, "fetch size");
            }
            try (Statement s = c.createStatement()) {
                s.execute("INSERT INTO jdbc VALUES (1, 'again')");
                check(false, "duplicate taken");
            } catch (SQLException e) {
                check(e.getSQLState().equals("23505"), e.toString());
            }
            c.rollback();
            c.setAutoCommit(true);
            try (Statement s = c.createStatement()) {
                s.execute("DROP TABLE jdbc");
            }
        }
    }
}

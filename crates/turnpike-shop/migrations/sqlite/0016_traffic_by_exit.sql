-- What went through an exit in an hour, so that a list of exits adds up 24 rows of each instead of its subscriptions' hours.
CREATE TABLE exit_traffic (
    exit_id    TEXT NOT NULL REFERENCES network_exit (id),
    hour       BIGINT NOT NULL,
    bytes_up   BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down BIGINT NOT NULL CHECK (bytes_down >= 0),
    PRIMARY KEY (exit_id, hour)
);
-- Of what was before, the exits that subscriptions have now.
INSERT INTO exit_traffic (exit_id, hour, bytes_up, bytes_down)
    SELECT s.exit_id, t.hour, CAST(SUM(t.bytes_up) AS BIGINT), CAST(SUM(t.bytes_down) AS BIGINT)
    FROM traffic t JOIN subscription s ON s.id = t.subscription_id WHERE s.state = 'active' GROUP BY s.exit_id, t.hour;

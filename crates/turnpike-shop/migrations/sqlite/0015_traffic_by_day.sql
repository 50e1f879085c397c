-- What an account moved on each day (counted from 1970-01-01, UTC), so that two weeks of ten thousand subscriptions are 14 rows.
CREATE TABLE traffic_day (
    account_id TEXT NOT NULL REFERENCES account (id),
    day        BIGINT NOT NULL,
    bytes_up   BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down BIGINT NOT NULL CHECK (bytes_down >= 0),
    PRIMARY KEY (account_id, day)
);
INSERT INTO traffic_day (account_id, day, bytes_up, bytes_down)
    SELECT s.account_id, t.hour / 86400000, CAST(SUM(t.bytes_up) AS BIGINT), CAST(SUM(t.bytes_down) AS BIGINT)
    FROM traffic t JOIN subscription s ON s.id = t.subscription_id GROUP BY s.account_id, t.hour / 86400000;

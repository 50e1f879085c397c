-- What a plan limits, and what a subscription has bought of it. NULL: no limit.
ALTER TABLE plan ADD COLUMN max_connections BIGINT CHECK (max_connections > 0);
ALTER TABLE plan ADD COLUMN max_source_addresses BIGINT CHECK (max_source_addresses > 0);
ALTER TABLE plan ADD COLUMN mbit_per_second BIGINT CHECK (mbit_per_second > 0);
ALTER TABLE plan ADD COLUMN traffic_bytes BIGINT CHECK (traffic_bytes > 0);

-- Of the plan that it was bought or renewed by last; a catalogue that changes does not change them.
ALTER TABLE subscription ADD COLUMN max_connections BIGINT CHECK (max_connections > 0);
ALTER TABLE subscription ADD COLUMN max_source_addresses BIGINT CHECK (max_source_addresses > 0);
ALTER TABLE subscription ADD COLUMN mbit_per_second BIGINT CHECK (mbit_per_second > 0);
-- All that its orders gave, since it has an allowance at all; and what it had moved before that.
ALTER TABLE subscription ADD COLUMN traffic_bytes BIGINT CHECK (traffic_bytes > 0);
ALTER TABLE subscription ADD COLUMN traffic_before BIGINT NOT NULL DEFAULT 0 CHECK (traffic_before >= 0);

-- NULL: traffic without a limit.
ALTER TABLE order_line ADD COLUMN traffic_bytes BIGINT CHECK (traffic_bytes > 0);

-- The sum of a subscription's hours, so that nobody has to add them up to know what is left.
CREATE TABLE traffic_total (
    subscription_id TEXT PRIMARY KEY REFERENCES subscription (id),
    bytes_up        BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down      BIGINT NOT NULL CHECK (bytes_down >= 0)
);
INSERT INTO traffic_total (subscription_id, bytes_up, bytes_down)
    SELECT subscription_id, CAST(SUM(bytes_up) AS BIGINT), CAST(SUM(bytes_down) AS BIGINT) FROM traffic GROUP BY subscription_id;

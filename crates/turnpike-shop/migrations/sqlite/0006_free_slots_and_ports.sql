-- What is free is found by its own index. A unique index that holds NULLs too is taken by SQLite for one that finds a single
-- row, also for IS NULL, and every sale walked over all that is free. Held ones are unique in an index of their own instead.
CREATE TABLE new_slot (
    exit_id         TEXT NOT NULL REFERENCES network_exit (id),
    slot_no         BIGINT NOT NULL,
    network_id      TEXT NOT NULL REFERENCES network (id),
    connection_type TEXT NOT NULL CHECK (connection_type IN ('private', 'shared')),
    -- 0 once its exit has left the catalogue; a running subscription keeps it.
    sellable        BIGINT NOT NULL CHECK (sellable IN (0, 1)),
    subscription_id TEXT REFERENCES subscription (id),
    freed_at        BIGINT NOT NULL,
    PRIMARY KEY (exit_id, slot_no)
);
INSERT INTO new_slot (exit_id, slot_no, network_id, connection_type, sellable, subscription_id, freed_at)
    SELECT exit_id, slot_no, network_id, connection_type, sellable, subscription_id, freed_at FROM slot;
DROP TABLE slot;
ALTER TABLE new_slot RENAME TO slot;
CREATE UNIQUE INDEX slot_by_subscription ON slot (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX slot_free ON slot (network_id, connection_type, freed_at, exit_id, slot_no) WHERE subscription_id IS NULL AND sellable = 1;

CREATE TABLE new_port (
    gateway         TEXT NOT NULL REFERENCES gateway (name),
    port            BIGINT NOT NULL CHECK (port BETWEEN 1 AND 65535),
    in_range        BIGINT NOT NULL CHECK (in_range IN (0, 1)),
    subscription_id TEXT REFERENCES subscription (id),
    freed_at        BIGINT NOT NULL,
    PRIMARY KEY (gateway, port)
);
INSERT INTO new_port (gateway, port, in_range, subscription_id, freed_at)
    SELECT gateway, port, in_range, subscription_id, freed_at FROM port;
DROP TABLE port;
ALTER TABLE new_port RENAME TO port;
CREATE UNIQUE INDEX port_by_subscription ON port (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX port_free ON port (gateway, freed_at, port) WHERE subscription_id IS NULL AND in_range = 1;

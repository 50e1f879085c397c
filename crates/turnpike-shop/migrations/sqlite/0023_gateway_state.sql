-- What changes all the time about a gateway stands apart from the gateway's own row, to which every subscription, slot and port refers:
-- whoever adds one locks that row against being deleted, and would wade through its many versions.
CREATE TABLE gateway_state (
    gateway          TEXT PRIMARY KEY REFERENCES gateway (name),
    -- The newest change of any route or exit of this gateway, and the newest that it has applied.
    revision         BIGINT NOT NULL,
    applied_revision BIGINT NOT NULL,
    seen_at          BIGINT NOT NULL,
    -- Which program it runs. NULL until it has said so.
    version          TEXT,
    -- Connections that it has open, as it has told last.
    tunnels          BIGINT NOT NULL CHECK (tunnels >= 0)
);
INSERT INTO gateway_state (gateway, revision, applied_revision, seen_at, version, tunnels)
    SELECT name, revision, applied_revision, seen_at, version, tunnels FROM gateway;
ALTER TABLE gateway DROP COLUMN revision;
ALTER TABLE gateway DROP COLUMN applied_revision;
ALTER TABLE gateway DROP COLUMN seen_at;
ALTER TABLE gateway DROP COLUMN version;
ALTER TABLE gateway DROP COLUMN tunnels;

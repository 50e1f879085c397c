-- What an operator has decided about an exit, whatever the catalogue says. draining: it is not sold any more, and who has it keeps
-- it. disabled: it serves nobody.
ALTER TABLE network_exit ADD COLUMN standing TEXT NOT NULL DEFAULT 'open' CHECK (standing IN ('open', 'draining', 'disabled'));
-- The last test that an operator has asked of an exit, which its gateway does.
CREATE TABLE exit_check (
    exit_id      TEXT PRIMARY KEY REFERENCES network_exit (id),
    -- Counts the tests of this exit, so that a late result is not taken for the next one's.
    number       BIGINT NOT NULL CHECK (number > 0),
    gateway      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'works', 'fails')),
    requested_at BIGINT NOT NULL,
    -- Past this nobody has done it.
    deadline     BIGINT NOT NULL,
    finished_at  BIGINT,
    took_ms      BIGINT,
    address      TEXT,
    detail       TEXT
);
CREATE INDEX exit_check_queue ON exit_check (gateway, deadline) WHERE state = 'queued';
-- Connections that a gateway has open, as it has told last.
ALTER TABLE gateway ADD COLUMN tunnels BIGINT NOT NULL DEFAULT 0 CHECK (tunnels >= 0);
-- What went through a gateway in an hour, so that nobody has to add its subscriptions up.
CREATE TABLE gateway_traffic (
    gateway    TEXT NOT NULL,
    hour       BIGINT NOT NULL,
    bytes_up   BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down BIGINT NOT NULL CHECK (bytes_down >= 0),
    PRIMARY KEY (gateway, hour)
);
-- What one process writes in one millisecond has an order too. 0: before there was one.
ALTER TABLE audit_log ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
DROP INDEX audit_log_by_time;
CREATE INDEX audit_log_newest ON audit_log (at, number, id);

-- How many tunnels are open through an exit, as its gateway has told last; no row where there are none. It refers to
-- nothing, so that to tell it every few seconds locks no exit.
CREATE TABLE exit_tunnels (
    exit_id TEXT PRIMARY KEY,
    gateway TEXT NOT NULL REFERENCES gateway (name),
    tunnels BIGINT NOT NULL CHECK (tunnels > 0)
);
CREATE INDEX exit_tunnels_by_gateway ON exit_tunnels (gateway);

-- How many tunnels are open through an exit, as its gateway has told last; no row where there are none.
CREATE TABLE exit_tunnels (
    exit_id TEXT PRIMARY KEY REFERENCES network_exit (id),
    gateway TEXT NOT NULL REFERENCES gateway (name),
    tunnels BIGINT NOT NULL CHECK (tunnels > 0)
);
CREATE INDEX exit_tunnels_by_gateway ON exit_tunnels (gateway);

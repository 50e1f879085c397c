-- From where an account was signed in to, and its API keys used, within the last 30 days: what trials are compared by. An IPv6
-- address is its /64.
CREATE TABLE account_source (
    account_id TEXT NOT NULL REFERENCES account (id),
    source     TEXT NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (account_id, source)
);
CREATE INDEX account_source_by_age ON account_source (seen_at);
INSERT INTO account_source (account_id, source, seen_at)
    SELECT account_id, source, MAX(seen_at) FROM session WHERE source NOT LIKE '%:%' GROUP BY account_id, source;

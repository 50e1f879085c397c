-- Links for others than the subscription's owner: besides the subscription's own link, which is a column of its row.
CREATE TABLE rotate_link (
    id                TEXT PRIMARY KEY,
    subscription_id   TEXT NOT NULL REFERENCES subscription (id),
    name              TEXT NOT NULL,
    -- rotate: gives the exit a new address. status: only tells how it stands.
    kind              TEXT NOT NULL CHECK (kind IN ('rotate', 'status')),
    -- The networks that it works from, with commas between them; empty for all.
    allowed_addresses TEXT NOT NULL,
    version           BIGINT NOT NULL CHECK (version > 0),
    -- NULL once it is revoked.
    token_hash        BYTEA UNIQUE,
    created_at        BIGINT NOT NULL,
    -- A revoked one is remembered for a while, so that revoking it again is no error.
    revoked_at        BIGINT,
    CHECK ((token_hash IS NULL) = (revoked_at IS NOT NULL))
);
CREATE UNIQUE INDEX rotate_link_name ON rotate_link (subscription_id, name) WHERE revoked_at IS NULL;
CREATE INDEX rotate_link_by_subscription ON rotate_link (subscription_id, created_at);

-- The networks from which HTTP and SOCKS need no password, with commas between them; empty for none.
ALTER TABLE subscription ADD COLUMN allowed_addresses TEXT NOT NULL DEFAULT '';

-- What a subscription's port has refused lately: a few rows of each, the oldest forgotten for the newest.
CREATE TABLE refusal (
    subscription_id TEXT NOT NULL REFERENCES subscription (id),
    -- Drawn by the gateway; a row that it tells again replaces itself.
    number          BIGINT NOT NULL,
    first_at        BIGINT NOT NULL,
    last_at         BIGINT NOT NULL,
    -- How often, from this source and for this reason.
    times           BIGINT NOT NULL CHECK (times > 0),
    source          TEXT NOT NULL,
    protocol        TEXT NOT NULL,
    code            TEXT NOT NULL,
    reason          TEXT NOT NULL,
    PRIMARY KEY (subscription_id, number)
);
CREATE INDEX refusal_by_age ON refusal (last_at);

-- Which notices an account gets, and by which ways. No row: not.
CREATE TABLE notice_choice (
    account_id TEXT NOT NULL REFERENCES account (id),
    kind       TEXT NOT NULL,
    way        TEXT NOT NULL CHECK (way IN ('email', 'webhook')),
    PRIMARY KEY (account_id, kind, way)
);
-- A balance that falls below this is low.
ALTER TABLE account ADD COLUMN low_balance_cents BIGINT NOT NULL DEFAULT 500 CHECK (low_balance_cents >= 0);

-- When the owner is told that it ends soon. NULL once he has been.
ALTER TABLE subscription ADD COLUMN ending_notice_at BIGINT;
CREATE INDEX subscription_by_ending_notice ON subscription (ending_notice_at) WHERE ending_notice_at IS NOT NULL;
UPDATE subscription SET ending_notice_at = ends_at - 259200000 WHERE state = 'active';

-- Where an account's notices are sent as signed calls.
CREATE TABLE webhook (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id),
    url           TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    -- Since when nothing has arrived there; NULL while the last did.
    failing_since BIGINT,
    -- NULL while it is used.
    disabled_at   BIGINT
);
CREATE INDEX webhook_by_account ON webhook (account_id, created_at);

-- What was told, in the transaction of what it tells of.
CREATE TABLE notice (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    kind       TEXT NOT NULL,
    -- JSON, as it is sent to webhooks.
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX notice_by_age ON notice (created_at);

-- Its ways out.
CREATE TABLE delivery (
    id         TEXT PRIMARY KEY,
    notice_id  TEXT NOT NULL REFERENCES notice (id),
    account_id TEXT NOT NULL REFERENCES account (id),
    -- NULL: by e-mail.
    webhook_id TEXT REFERENCES webhook (id),
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts   BIGINT NOT NULL CHECK (attempts >= 0),
    created_at BIGINT NOT NULL,
    -- When it is tried next; a process that tries it moves that ahead.
    next_at    BIGINT,
    tried_at   BIGINT,
    -- What came of the last try, in a sentence for the owner.
    detail     TEXT NOT NULL,
    CHECK ((state = 'waiting') = (next_at IS NOT NULL))
);
CREATE INDEX delivery_due ON delivery (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX delivery_by_notice ON delivery (notice_id);
CREATE INDEX delivery_by_webhook ON delivery (webhook_id, created_at, id) WHERE webhook_id IS NOT NULL;

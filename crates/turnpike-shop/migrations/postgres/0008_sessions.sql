-- Browsers that are signed in. The cookie's token is stored as its hash.
CREATE TABLE session (
    id              TEXT PRIMARY KEY,
    token_hash      BYTEA NOT NULL,
    account_id      TEXT NOT NULL REFERENCES account (id),
    -- The account's version then: a suspension ends the session as it voids tokens.
    account_version BIGINT NOT NULL,
    -- 1: the password was right, and the second factor's code is still wanted.
    needs_code      BIGINT NOT NULL CHECK (needs_code IN (0, 1)),
    created_at      BIGINT NOT NULL,
    -- To the minute.
    seen_at         BIGINT NOT NULL,
    -- When the password was given last; what is dangerous wants that to be a moment ago.
    confirmed_at    BIGINT NOT NULL,
    source          TEXT NOT NULL,
    agent           TEXT NOT NULL
);
CREATE UNIQUE INDEX session_by_token ON session (token_hash);
CREATE INDEX session_by_account ON session (account_id, seen_at);
CREATE INDEX session_by_last_use ON session (seen_at);

-- Codes that change every 30 seconds (RFC 6238).
CREATE TABLE second_factor (
    account_id    TEXT PRIMARY KEY REFERENCES account (id),
    sealed_secret BYTEA NOT NULL,
    -- NULL until a code has shown that the owner's program has the secret; it is not asked for before that.
    enabled_at    BIGINT,
    -- The time step of the newest code that was accepted: none is accepted twice.
    last_step     BIGINT NOT NULL
);

-- For whoever has lost the program with the secret; each works once.
CREATE TABLE recovery_code (
    account_id TEXT NOT NULL REFERENCES account (id),
    code_hash  BYTEA NOT NULL,
    PRIMARY KEY (account_id, code_hash)
);

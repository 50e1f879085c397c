-- Columns are BIGINT, TEXT and BYTEA only, so that one SQL text serves both engines.
-- Times are Unix milliseconds, money whole cents, booleans 0 and 1.

-- Facts about this database itself, such as a hash that only its master key gives.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    role          TEXT NOT NULL CHECK (role IN ('customer', 'operator')),
    status        TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    -- Advanced by a password change and a suspension; signed tokens carry it.
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE api_key (
    id              TEXT PRIMARY KEY,
    account_id      TEXT NOT NULL REFERENCES account (id),
    name            TEXT NOT NULL,
    secret_hash     BYTEA NOT NULL,
    read_only       BIGINT NOT NULL CHECK (read_only IN (0, 1)),
    allow_trial     BIGINT NOT NULL CHECK (allow_trial IN (0, 1)),
    allowed_sources TEXT,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT,
    revoked_at      BIGINT,
    last_used_at    BIGINT
);
CREATE INDEX api_key_by_account ON api_key (account_id, created_at);

-- A gateway registers its host name and port range when it starts.
CREATE TABLE gateway (
    name             TEXT PRIMARY KEY,
    public_host      TEXT NOT NULL,
    first_port       BIGINT NOT NULL,
    last_port        BIGINT NOT NULL,
    -- The newest change of any route or exit of this gateway, and the newest that it has applied.
    revision         BIGINT NOT NULL,
    applied_revision BIGINT NOT NULL,
    seen_at          BIGINT NOT NULL
);

CREATE TABLE network (
    id           TEXT PRIMARY KEY,
    code         TEXT NOT NULL UNIQUE,
    city         TEXT NOT NULL,
    country      TEXT NOT NULL,
    network_type TEXT NOT NULL CHECK (network_type IN ('mobile', 'residential', 'datacenter', 'isp')),
    allow_smtp   BIGINT NOT NULL CHECK (allow_smtp IN (0, 1)),
    active       BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at   BIGINT NOT NULL
);

CREATE TABLE network_exit (
    id              TEXT PRIMARY KEY,
    network_id      TEXT NOT NULL REFERENCES network (id),
    name            TEXT NOT NULL,
    gateway         TEXT NOT NULL REFERENCES gateway (name),
    -- How it leaves and rotates: JSON, sealed because upstreams and rotate calls carry credentials.
    sealed_spec     BYTEA NOT NULL,
    can_rotate      BIGINT NOT NULL CHECK (can_rotate IN (0, 1)),
    shared_slots    BIGINT NOT NULL CHECK (shared_slots >= 0),
    active          BIGINT NOT NULL CHECK (active IN (0, 1)),
    present_address TEXT,
    health          TEXT NOT NULL CHECK (health IN ('unknown', 'up', 'down')),
    health_detail   TEXT,
    health_since    BIGINT,
    rotated_at      BIGINT,
    created_at      BIGINT NOT NULL,
    revision        BIGINT NOT NULL,
    UNIQUE (network_id, name)
);
CREATE INDEX network_exit_by_revision ON network_exit (gateway, revision);

CREATE TABLE plan (
    id              TEXT PRIMARY KEY,
    code            TEXT NOT NULL UNIQUE,
    network_id      TEXT NOT NULL REFERENCES network (id),
    connection_type TEXT NOT NULL CHECK (connection_type IN ('private', 'shared')),
    duration_ms     BIGINT NOT NULL CHECK (duration_ms > 0),
    price_cents     BIGINT NOT NULL CHECK (price_cents >= 0),
    popular         BIGINT NOT NULL CHECK (popular IN (0, 1)),
    trial_ms        BIGINT CHECK (trial_ms > 0),
    active          BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at      BIGINT NOT NULL
);
CREATE INDEX plan_by_network ON plan (network_id, connection_type);

CREATE TABLE coupon (
    id              TEXT PRIMARY KEY,
    code            TEXT NOT NULL UNIQUE,
    percent_off     BIGINT CHECK (percent_off BETWEEN 1 AND 100),
    cents_off       BIGINT CHECK (cents_off > 0),
    max_redemptions BIGINT CHECK (max_redemptions > 0),
    per_account     BIGINT CHECK (per_account > 0),
    valid_until     BIGINT,
    active          BIGINT NOT NULL CHECK (active IN (0, 1)),
    redeemed        BIGINT NOT NULL CHECK (redeemed >= 0),
    created_at      BIGINT NOT NULL,
    CHECK ((percent_off IS NULL) <> (cents_off IS NULL))
);

CREATE TABLE subscription (
    id                 TEXT PRIMARY KEY,
    account_id         TEXT NOT NULL REFERENCES account (id),
    plan_id            TEXT NOT NULL REFERENCES plan (id),
    network_id         TEXT NOT NULL REFERENCES network (id),
    connection_type    TEXT NOT NULL CHECK (connection_type IN ('private', 'shared')),
    -- The exit it leaves by, and the last one it had while it is expired.
    exit_id            TEXT NOT NULL REFERENCES network_exit (id),
    gateway            TEXT NOT NULL REFERENCES gateway (name),
    port               BIGINT NOT NULL,
    username           TEXT NOT NULL,
    sealed_credentials BYTEA NOT NULL,
    rotate_version     BIGINT NOT NULL,
    rotate_token_hash  BYTEA NOT NULL UNIQUE,
    rotation_policy    BIGINT NOT NULL CHECK (rotation_policy IN (0, 5, 10, 15, 30, 60)),
    -- The policy falls due at the anchor and whole intervals after it; next_rotation_at is when it is tried next.
    rotation_anchor    BIGINT,
    next_rotation_at   BIGINT,
    user_note          TEXT NOT NULL,
    -- active: holds a port and a slot. expired: holds its port until the grace period ends. released: holds nothing.
    state              TEXT NOT NULL CHECK (state IN ('active', 'expired', 'released')),
    started_at         BIGINT NOT NULL,
    ends_at            BIGINT NOT NULL,
    -- Time between an end and a late renewal, which nobody paid for.
    lapsed_ms          BIGINT NOT NULL CHECK (lapsed_ms >= 0),
    -- The gateway that was told of it last, and the revision that told it; NULL before the first.
    told_gateway       TEXT REFERENCES gateway (name),
    revision           BIGINT NOT NULL
);
CREATE INDEX subscription_by_account ON subscription (account_id, started_at, id);
CREATE INDEX subscription_by_revision ON subscription (gateway, revision);
CREATE INDEX subscription_by_end ON subscription (state, ends_at) WHERE state <> 'released';
CREATE INDEX subscription_by_rotation ON subscription (gateway, next_rotation_at) WHERE next_rotation_at IS NOT NULL;
CREATE INDEX subscription_by_exit ON subscription (exit_id) WHERE state = 'active';
CREATE UNIQUE INDEX subscription_user ON subscription (gateway, username) WHERE state <> 'released';
CREATE UNIQUE INDEX subscription_port ON subscription (gateway, port) WHERE state <> 'released';

-- Subscriptions that have moved to another gateway, for the one that they have left.
CREATE TABLE moved_route (
    gateway         TEXT NOT NULL REFERENCES gateway (name),
    subscription_id TEXT NOT NULL REFERENCES subscription (id),
    revision        BIGINT NOT NULL,
    PRIMARY KEY (gateway, subscription_id)
);
CREATE INDEX moved_route_by_revision ON moved_route (gateway, revision);

-- What can be sold: one row for a private exit, `shared_slots` rows for a shared one.
CREATE TABLE slot (
    exit_id         TEXT NOT NULL REFERENCES network_exit (id),
    slot_no         BIGINT NOT NULL,
    network_id      TEXT NOT NULL REFERENCES network (id),
    connection_type TEXT NOT NULL CHECK (connection_type IN ('private', 'shared')),
    -- 0 once its exit has left the catalogue; a running subscription keeps it.
    sellable        BIGINT NOT NULL CHECK (sellable IN (0, 1)),
    subscription_id TEXT UNIQUE REFERENCES subscription (id),
    freed_at        BIGINT NOT NULL,
    PRIMARY KEY (exit_id, slot_no)
);
CREATE INDEX slot_free ON slot (network_id, connection_type, freed_at, exit_id, slot_no) WHERE subscription_id IS NULL AND sellable = 1;

-- Every port of every gateway's range; the longest unused is given out first.
CREATE TABLE port (
    gateway         TEXT NOT NULL REFERENCES gateway (name),
    port            BIGINT NOT NULL CHECK (port BETWEEN 1 AND 65535),
    in_range        BIGINT NOT NULL CHECK (in_range IN (0, 1)),
    subscription_id TEXT UNIQUE REFERENCES subscription (id),
    freed_at        BIGINT NOT NULL,
    PRIMARY KEY (gateway, port)
);
CREATE INDEX port_free ON port (gateway, freed_at, port) WHERE subscription_id IS NULL AND in_range = 1;

CREATE TABLE shop_order (
    id               TEXT PRIMARY KEY,
    account_id       TEXT NOT NULL REFERENCES account (id),
    kind             TEXT NOT NULL CHECK (kind IN ('purchase', 'renewal', 'trial')),
    plan_id          TEXT NOT NULL REFERENCES plan (id),
    -- The plan's network then: a plan may be given another one later.
    network_id       TEXT NOT NULL REFERENCES network (id),
    repeat_count     BIGINT NOT NULL CHECK (repeat_count BETWEEN 1 AND 100),
    quantity         BIGINT NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    coupon_id        TEXT REFERENCES coupon (id),
    unit_price_cents BIGINT NOT NULL CHECK (unit_price_cents >= 0),
    discount_cents   BIGINT NOT NULL CHECK (discount_cents >= 0),
    price_cents      BIGINT NOT NULL CHECK (price_cents >= 0),
    idempotency_key  TEXT,
    created_at       BIGINT NOT NULL,
    CHECK (price_cents = unit_price_cents * repeat_count * quantity - discount_cents)
);
CREATE INDEX shop_order_by_account ON shop_order (account_id, created_at);

-- What an order gave to each subscription.
CREATE TABLE order_line (
    order_id        TEXT NOT NULL REFERENCES shop_order (id),
    subscription_id TEXT NOT NULL REFERENCES subscription (id),
    duration_ms     BIGINT NOT NULL CHECK (duration_ms > 0),
    PRIMARY KEY (order_id, subscription_id)
);
CREATE INDEX order_line_by_subscription ON order_line (subscription_id);

-- Who redeemed how often; the row's counter decides races.
CREATE TABLE coupon_use (
    coupon_id  TEXT NOT NULL REFERENCES coupon (id),
    account_id TEXT NOT NULL REFERENCES account (id),
    redeemed   BIGINT NOT NULL CHECK (redeemed > 0),
    PRIMARY KEY (coupon_id, account_id)
);

CREATE TABLE trial_use (
    account_id TEXT NOT NULL REFERENCES account (id),
    network_id TEXT NOT NULL REFERENCES network (id),
    used_at    BIGINT NOT NULL,
    PRIMARY KEY (account_id, network_id)
);

-- Answers of 200 by Idempotency-Key, sealed because they show credentials; kept for 72 hours.
CREATE TABLE idempotency (
    account_id     TEXT NOT NULL REFERENCES account (id),
    key            TEXT NOT NULL,
    request_hash   BYTEA NOT NULL,
    sealed_outcome BYTEA,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Where money can be. A customer's row has the account's id, a cached balance and the count of its postings; 'funding' (money
-- from outside) and 'revenue' have neither, so that they are not a lock that every sale takes.
CREATE TABLE ledger_account (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL CHECK (kind IN ('customer', 'funding', 'revenue')),
    balance  BIGINT,
    postings BIGINT,
    CHECK (CASE WHEN kind = 'customer' THEN balance IS NOT NULL AND balance >= 0 AND postings IS NOT NULL
           ELSE balance IS NULL AND postings IS NULL END)
);
INSERT INTO ledger_account (id, kind) VALUES ('funding', 'funding'), ('revenue', 'revenue');

CREATE TABLE ledger_transaction (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('credit', 'debit', 'purchase', 'renewal', 'trial', 'refund')),
    order_id   TEXT REFERENCES shop_order (id),
    note       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX ledger_transaction_by_order ON ledger_transaction (order_id, kind) WHERE order_id IS NOT NULL;

CREATE TABLE posting (
    transaction_id    TEXT NOT NULL REFERENCES ledger_transaction (id),
    line              BIGINT NOT NULL,
    ledger_account_id TEXT NOT NULL REFERENCES ledger_account (id),
    amount_cents      BIGINT NOT NULL,
    -- Counts a customer's postings from 1, without a gap, and his balance after each; NULL on system accounts.
    number            BIGINT,
    balance_after     BIGINT,
    created_at        BIGINT NOT NULL,
    PRIMARY KEY (transaction_id, line)
);
CREATE UNIQUE INDEX posting_by_account ON posting (ledger_account_id, number);

-- One row per wish to rotate; at most one open per exit.
CREATE TABLE rotation (
    id               TEXT PRIMARY KEY,
    exit_id          TEXT NOT NULL REFERENCES network_exit (id),
    gateway          TEXT NOT NULL,
    subscription_id  TEXT REFERENCES subscription (id),
    reason           TEXT NOT NULL CHECK (reason IN ('request', 'policy', 'operator')),
    state            TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    requested_at     BIGINT NOT NULL,
    started_at       BIGINT,
    finished_at      BIGINT,
    -- Past this it has failed, whatever became of it.
    deadline         BIGINT NOT NULL,
    previous_address TEXT,
    address          TEXT,
    error            TEXT
);
CREATE UNIQUE INDEX rotation_open ON rotation (exit_id) WHERE state IN ('queued', 'running');
CREATE INDEX rotation_queue ON rotation (gateway, state, requested_at) WHERE state IN ('queued', 'running');
CREATE INDEX rotation_by_exit ON rotation (exit_id, finished_at);
CREATE INDEX rotation_by_end ON rotation (finished_at) WHERE finished_at IS NOT NULL;

-- The addresses that an exit has had.
CREATE TABLE exit_address (
    exit_id TEXT NOT NULL REFERENCES network_exit (id),
    since   BIGINT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (exit_id, since)
);

CREATE TABLE traffic (
    subscription_id TEXT NOT NULL REFERENCES subscription (id),
    hour            BIGINT NOT NULL,
    bytes_up        BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down      BIGINT NOT NULL CHECK (bytes_down >= 0),
    PRIMARY KEY (subscription_id, hour)
);

-- The last traffic batch recorded of each run of each gateway: a batch sent again adds nothing.
CREATE TABLE traffic_cursor (
    gateway TEXT NOT NULL,
    run     TEXT NOT NULL,
    batch   BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (gateway, run)
);

-- Failed logins by source address, for one account and in all; a row is forgotten when its last failure is old.
CREATE TABLE login_failure (
    subject      TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL CHECK (failures > 0),
    last_at      BIGINT NOT NULL,
    -- Until then every attempt is refused.
    locked_until BIGINT NOT NULL
);
CREATE INDEX login_failure_by_age ON login_failure (last_at);

CREATE TABLE audit_log (
    id      TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
CREATE INDEX audit_log_by_time ON audit_log (at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER posting_is_immutable BEFORE UPDATE ON posting FOR EACH ROW EXECUTE FUNCTION refuse_change('a posting is immutable');
CREATE TRIGGER posting_is_kept BEFORE DELETE ON posting FOR EACH ROW EXECUTE FUNCTION refuse_change('a posting is never deleted');
CREATE TRIGGER posting_is_not_emptied BEFORE TRUNCATE ON posting EXECUTE FUNCTION refuse_change('a posting is never deleted');
CREATE TRIGGER ledger_transaction_is_immutable BEFORE UPDATE ON ledger_transaction FOR EACH ROW EXECUTE FUNCTION refuse_change('a ledger transaction is immutable');
CREATE TRIGGER ledger_transaction_is_kept BEFORE DELETE ON ledger_transaction FOR EACH ROW EXECUTE FUNCTION refuse_change('a ledger transaction is never deleted');
CREATE TRIGGER ledger_transaction_is_not_emptied BEFORE TRUNCATE ON ledger_transaction EXECUTE FUNCTION refuse_change('a ledger transaction is never deleted');
CREATE TRIGGER shop_order_is_immutable BEFORE UPDATE ON shop_order FOR EACH ROW EXECUTE FUNCTION refuse_change('an order is immutable');
CREATE TRIGGER shop_order_is_kept BEFORE DELETE ON shop_order FOR EACH ROW EXECUTE FUNCTION refuse_change('an order is never deleted');
CREATE TRIGGER shop_order_is_not_emptied BEFORE TRUNCATE ON shop_order EXECUTE FUNCTION refuse_change('an order is never deleted');
CREATE TRIGGER order_line_is_immutable BEFORE UPDATE ON order_line FOR EACH ROW EXECUTE FUNCTION refuse_change('an order line is immutable');
CREATE TRIGGER order_line_is_kept BEFORE DELETE ON order_line FOR EACH ROW EXECUTE FUNCTION refuse_change('an order line is never deleted');
CREATE TRIGGER order_line_is_not_emptied BEFORE TRUNCATE ON order_line EXECUTE FUNCTION refuse_change('an order line is never deleted');
CREATE TRIGGER subscription_is_kept BEFORE DELETE ON subscription FOR EACH ROW EXECUTE FUNCTION refuse_change('a subscription is never deleted');
CREATE TRIGGER subscription_is_not_emptied BEFORE TRUNCATE ON subscription EXECUTE FUNCTION refuse_change('a subscription is never deleted');
CREATE TRIGGER audit_log_is_immutable BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change('the audit log is immutable');
CREATE TRIGGER audit_log_is_kept BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change('the audit log is never deleted');
CREATE TRIGGER audit_log_is_not_emptied BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION refuse_change('the audit log is never deleted');

-- Which program a gateway runs. NULL until one has said so.
ALTER TABLE gateway ADD COLUMN version TEXT;
-- What the shop has earned since a moment, without a walk through the whole ledger.
CREATE INDEX posting_of_the_shop ON posting (ledger_account_id, created_at, amount_cents) WHERE number IS NULL;
-- Accounts, page by page.
CREATE INDEX account_by_age ON account (created_at, id);
-- Orders, page by page.
CREATE INDEX shop_order_by_age ON shop_order (created_at, id);
-- Time that refunds took back of what its orders gave.
ALTER TABLE subscription ADD COLUMN cut_ms BIGINT NOT NULL DEFAULT 0 CHECK (cut_ms >= 0);

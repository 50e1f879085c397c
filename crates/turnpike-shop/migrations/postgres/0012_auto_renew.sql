-- The plan by which a subscription renews itself. NULL: it does not.
ALTER TABLE subscription ADD COLUMN auto_renew_plan_id TEXT REFERENCES plan (id);
-- When that is tried next. NULL: not before somebody renews it.
ALTER TABLE subscription ADD COLUMN auto_renew_at BIGINT;
-- Why the last try failed, in a sentence for its owner. NULL once it is renewed.
ALTER TABLE subscription ADD COLUMN auto_renew_trouble TEXT;
CREATE INDEX subscription_by_auto_renew ON subscription (auto_renew_at) WHERE auto_renew_at IS NOT NULL;

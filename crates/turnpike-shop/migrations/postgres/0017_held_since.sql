-- Since when a subscription has had its present exit, where that is not since its start: what that exit did before is nobody's business.
ALTER TABLE subscription ADD COLUMN held_since BIGINT;
-- Who has switched is not on record, so all begin anew.
UPDATE subscription SET held_since = CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000 WHERE state = 'active';

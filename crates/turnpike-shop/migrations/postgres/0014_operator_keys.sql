-- A key with it may run the shop by /api/admin, while its account is an operator's.
ALTER TABLE api_key ADD COLUMN operator BIGINT NOT NULL DEFAULT 0 CHECK (operator IN (0, 1));
-- By which key a program did it, and from which address. NULL: somebody did it himself.
ALTER TABLE audit_log ADD COLUMN api_key TEXT;
ALTER TABLE audit_log ADD COLUMN source TEXT;

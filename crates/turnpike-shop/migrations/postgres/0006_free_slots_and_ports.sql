-- What is free has an index of its own; the unique one holds only what is held, as in SQLite, which needs that.
ALTER TABLE slot DROP CONSTRAINT slot_subscription_id_key;
CREATE UNIQUE INDEX slot_by_subscription ON slot (subscription_id) WHERE subscription_id IS NOT NULL;
ALTER TABLE port DROP CONSTRAINT port_subscription_id_key;
CREATE UNIQUE INDEX port_by_subscription ON port (subscription_id) WHERE subscription_id IS NOT NULL;

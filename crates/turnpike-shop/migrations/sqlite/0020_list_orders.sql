-- The orders in which an account reads its subscriptions, beside the order of their start.
CREATE INDEX subscription_by_account_end ON subscription (account_id, ends_at, id) WHERE state <> 'released';
CREATE INDEX subscription_by_account_port ON subscription (account_id, port, id) WHERE state <> 'released';

-- Whose pages an operator's browser shows instead of his own, and until when.
ALTER TABLE session ADD COLUMN viewed_account TEXT REFERENCES account (id);
ALTER TABLE session ADD COLUMN viewed_until BIGINT;

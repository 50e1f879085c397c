-- Which of its subscription URLs is the one that works; the next one voids those before it. The URL itself is derived from
-- this and the master key, and stands nowhere.
ALTER TABLE subscription ADD COLUMN url_version BIGINT NOT NULL DEFAULT 1 CHECK (url_version > 0);
ALTER TABLE account ADD COLUMN url_version BIGINT NOT NULL DEFAULT 1 CHECK (url_version > 0);

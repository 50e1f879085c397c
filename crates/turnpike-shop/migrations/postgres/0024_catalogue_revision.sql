-- Counts up with each change of what is on sale, whoever makes it: what was made of the list of plans holds for as long as it stands.
CREATE TABLE catalogue_revision (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO catalogue_revision (id, revision) VALUES (1, 1);
CREATE FUNCTION count_catalogue_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE catalogue_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER plan_insert_is_counted AFTER INSERT ON plan EXECUTE FUNCTION count_catalogue_change();
CREATE TRIGGER plan_update_is_counted AFTER UPDATE ON plan EXECUTE FUNCTION count_catalogue_change();
CREATE TRIGGER plan_delete_is_counted AFTER DELETE ON plan EXECUTE FUNCTION count_catalogue_change();
CREATE TRIGGER network_insert_is_counted AFTER INSERT ON network EXECUTE FUNCTION count_catalogue_change();
CREATE TRIGGER network_update_is_counted AFTER UPDATE ON network EXECUTE FUNCTION count_catalogue_change();
CREATE TRIGGER network_delete_is_counted AFTER DELETE ON network EXECUTE FUNCTION count_catalogue_change();

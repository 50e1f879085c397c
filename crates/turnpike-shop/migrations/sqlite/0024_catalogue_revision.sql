-- Counts up with each change of what is on sale, whoever makes it: what was made of the list of plans holds for as long as it stands.
CREATE TABLE catalogue_revision (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO catalogue_revision (id, revision) VALUES (1, 1);
CREATE TRIGGER plan_insert_is_counted AFTER INSERT ON plan BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;
CREATE TRIGGER plan_update_is_counted AFTER UPDATE ON plan BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;
CREATE TRIGGER plan_delete_is_counted AFTER DELETE ON plan BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;
CREATE TRIGGER network_insert_is_counted AFTER INSERT ON network BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;
CREATE TRIGGER network_update_is_counted AFTER UPDATE ON network BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;
CREATE TRIGGER network_delete_is_counted AFTER DELETE ON network BEGIN UPDATE catalogue_revision SET revision = revision + 1; END;

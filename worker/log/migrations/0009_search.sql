-- What searches of profiles look for. document_of, folded and words_of_row are the worker's own.

-- Repeats what permit holds, so that it can be asked for and counted without reading that.
ALTER TABLE run ADD COLUMN read_lock TEXT;
UPDATE run SET read_lock = json_extract(permit, '$.read_lock');

-- The JSON text of a value that is no scalar.
ALTER TABLE metadata ADD COLUMN document TEXT;
UPDATE metadata SET document = document_of(value) WHERE scalar = x'02';

-- Of all these only run_by_modified holds what an append changes: it is narrow, so that few of its pages change.
CREATE INDEX run_by_modified ON run (project, last_modified_us);
CREATE INDEX run_by_read_lock ON run (read_lock, project);
CREATE INDEX run_by_model ON run (model_fingerprint, project);
-- Made anew behind run_by_modified: of two that will do, SQLite takes the later one, and this one stays where it is.
DROP INDEX run_by_project;
CREATE INDEX run_by_project ON run (project, run_key);
CREATE INDEX profile_by_status ON profile (project, status);
CREATE INDEX profile_by_name ON profile (project, name);
CREATE INDEX profile_by_environment ON profile (project, environment);
CREATE INDEX profile_by_finish_reason ON profile (project, finish_reason) WHERE finish_reason IS NOT NULL;
CREATE INDEX profile_by_created_by ON profile (project, created_by) WHERE created_by IS NOT NULL;
CREATE INDEX profile_by_config ON profile (project, config_id) WHERE config_id IS NOT NULL;
CREATE INDEX profile_by_parent ON profile (project, parent) WHERE parent IS NOT NULL;

-- How many runs have a value, apart by what every search asks besides: whether they are tests, and who may read them.
-- Field '' counts all runs. A value of x'': none.
CREATE TABLE tally (
    project    TEXT NOT NULL,
    field      TEXT NOT NULL,
    value      ANY NOT NULL,
    test       INTEGER NOT NULL,
    read_lock  TEXT NOT NULL,
    runs       INTEGER NOT NULL,
    PRIMARY KEY (project, field, value, test, read_lock)
) STRICT, WITHOUT ROWID;

-- What is counted of each run; of tags and parents also those that have none, and of parents nothing else.
CREATE VIEW counted AS
    SELECT run.run_key AS run_key, run.project AS project, field.column1 AS field,
        ifnull(CASE field.column1
            WHEN 'status' THEN profile.status
            WHEN 'interaction' THEN run.model_file
            WHEN 'environment' THEN profile.environment
            WHEN 'model' THEN run.model_fingerprint
            WHEN 'finish_reason' THEN profile.finish_reason
            WHEN 'created_by' THEN profile.created_by
            WHEN 'source.type' THEN profile.source_type
        END, x'') AS value,
        profile.test AS test, ifnull(run.read_lock, '') AS read_lock
    FROM run JOIN profile ON profile.run_key = run.run_key CROSS JOIN (VALUES
        (''), ('status'), ('interaction'), ('environment'), ('model'), ('finish_reason'), ('created_by'),
        ('source.type'), ('tags'), ('parent')
    ) AS field
    WHERE CASE field.column1 WHEN 'tags' THEN profile.tags = '[]' WHEN 'parent' THEN profile.parent IS NULL ELSE TRUE END
    UNION ALL
    SELECT tag.run_key, tag.project, 'tags', tag.tag, profile.test, ifnull(run.read_lock, '')
    FROM tag JOIN run ON run.run_key = tag.run_key JOIN profile ON profile.run_key = tag.run_key;

INSERT INTO tally SELECT project, field, value, test, read_lock, count(*) FROM counted GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER tally_emptied AFTER UPDATE ON tally WHEN NEW.runs = 0 BEGIN
    DELETE FROM tally WHERE project = NEW.project AND field = NEW.field AND value = NEW.value AND test = NEW.test
        AND read_lock = NEW.read_lock;
END;

CREATE TRIGGER tally_of_new AFTER INSERT ON profile BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, 1 FROM counted WHERE run_key = NEW.run_key
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER tally_of_removed BEFORE DELETE ON run BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, -1 FROM counted WHERE run_key = OLD.run_key
        ON CONFLICT DO UPDATE SET runs = runs - 1;
END;

CREATE TRIGGER tally_of_changed
AFTER UPDATE OF status, finish_reason, environment, created_by, source_type, tags, parent ON profile
WHEN OLD.test = NEW.test AND (
    OLD.status <> NEW.status OR OLD.finish_reason IS NOT NEW.finish_reason OR OLD.environment <> NEW.environment
    OR OLD.created_by IS NOT NEW.created_by OR OLD.source_type IS NOT NEW.source_type
    OR (OLD.tags = '[]') <> (NEW.tags = '[]') OR (OLD.parent IS NULL) <> (NEW.parent IS NULL)
) BEGIN
    INSERT INTO tally
        SELECT NEW.project, change.column1, ifnull(iif(step.column1 < 0, change.column2, change.column3), x''),
            NEW.test, ifnull(run.read_lock, ''), step.column1
        FROM run CROSS JOIN (VALUES (-1), (1)) AS step CROSS JOIN (VALUES
            ('status', +OLD.status, +NEW.status),
            ('finish_reason', OLD.finish_reason, NEW.finish_reason),
            ('environment', OLD.environment, NEW.environment),
            ('created_by', OLD.created_by, NEW.created_by),
            ('source.type', OLD.source_type, NEW.source_type)
        ) AS change
        WHERE run.run_key = NEW.run_key AND change.column2 IS NOT change.column3
        ON CONFLICT DO UPDATE SET runs = runs + excluded.runs;
    INSERT INTO tally
        SELECT NEW.project, change.column1, x'', NEW.test, ifnull(run.read_lock, ''), iif(change.column3, 1, -1)
        FROM run CROSS JOIN (VALUES
            ('tags', OLD.tags = '[]', NEW.tags = '[]'), ('parent', OLD.parent IS NULL, NEW.parent IS NULL)
        ) AS change
        WHERE run.run_key = NEW.run_key AND change.column2 <> change.column3
        ON CONFLICT DO UPDATE SET runs = runs + excluded.runs;
END;

CREATE TRIGGER tally_before_test BEFORE UPDATE OF test ON profile WHEN OLD.test <> NEW.test BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, -1 FROM counted WHERE run_key = OLD.run_key
        ON CONFLICT DO UPDATE SET runs = runs - 1;
END;

CREATE TRIGGER tally_after_test AFTER UPDATE OF test ON profile WHEN OLD.test <> NEW.test BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, 1 FROM counted WHERE run_key = NEW.run_key
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER tally_before_run BEFORE UPDATE OF read_lock, model_file, model_fingerprint ON run
WHEN OLD.read_lock IS NOT NEW.read_lock OR OLD.model_file <> NEW.model_file
    OR OLD.model_fingerprint <> NEW.model_fingerprint
BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, -1 FROM counted WHERE run_key = OLD.run_key
        ON CONFLICT DO UPDATE SET runs = runs - 1;
END;

CREATE TRIGGER tally_after_run AFTER UPDATE OF read_lock, model_file, model_fingerprint ON run
WHEN OLD.read_lock IS NOT NEW.read_lock OR OLD.model_file <> NEW.model_file
    OR OLD.model_fingerprint <> NEW.model_fingerprint
BEGIN
    INSERT INTO tally SELECT project, field, value, test, read_lock, 1 FROM counted WHERE run_key = NEW.run_key
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER tally_of_tag AFTER INSERT ON tag BEGIN
    INSERT INTO tally SELECT NEW.project, 'tags', NEW.tag, profile.test, ifnull(run.read_lock, ''), 1
        FROM run JOIN profile ON profile.run_key = run.run_key WHERE run.run_key = NEW.run_key
        ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

-- Tags that go with their run were counted with it: it is not there any more.
CREATE TRIGGER tally_of_no_tag AFTER DELETE ON tag BEGIN
    INSERT INTO tally SELECT OLD.project, 'tags', OLD.tag, profile.test, ifnull(run.read_lock, ''), -1
        FROM run JOIN profile ON profile.run_key = run.run_key WHERE run.run_key = OLD.run_key
        ON CONFLICT DO UPDATE SET runs = runs - 1;
END;

-- Full text: the folded name, and the line of words (worker.runs.words). The indexes give candidates; what stands
-- here decides.
CREATE TABLE wording (
    id       INTEGER PRIMARY KEY,
    run_key  TEXT NOT NULL UNIQUE REFERENCES run (run_key) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    words    TEXT NOT NULL
) STRICT;

INSERT INTO wording (run_key, name, words)
SELECT run_key, folded(name), words_of_row(name, tags, finish_reason, error, result) FROM profile ORDER BY rowid;

CREATE VIRTUAL TABLE word_index USING fts5 (
    words, content = 'wording', content_rowid = 'id', columnsize = 0, tokenize = "ascii tokenchars '_'"
);
INSERT INTO word_index (word_index) VALUES ('rebuild');

CREATE VIRTUAL TABLE name_index USING fts5 (
    name, content = 'wording', content_rowid = 'id', columnsize = 0, detail = 'none',
    tokenize = 'trigram case_sensitive 1'
);
INSERT INTO name_index (name_index) VALUES ('rebuild');

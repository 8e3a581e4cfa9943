-- What each run published, numbered per run without holes; run.event is the last number that was given.
-- body: a msgpack map of what the kind tells; the columns hold the rest.

ALTER TABLE run ADD COLUMN event INTEGER NOT NULL DEFAULT 0 CHECK (event >= 0);

CREATE TABLE event (
    run_key  TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    event    INTEGER NOT NULL CHECK (event >= 1),
    kind     TEXT NOT NULL,
    at_us    INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (run_key, event)
) STRICT, WITHOUT ROWID;

-- Who is to be told of which status, written with the status itself; and what each recorded action took and changed.

CREATE TABLE delivery (
    delivery_id      TEXT NOT NULL PRIMARY KEY,
    run_key          TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    project          TEXT NOT NULL,
    sequence         INTEGER NOT NULL,
    status           TEXT NOT NULL,
    previous_status  TEXT,
    state            TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempt          INTEGER NOT NULL DEFAULT 0,
    round            INTEGER NOT NULL DEFAULT 0,
    next_us          INTEGER,
    occurred_us      INTEGER NOT NULL,
    settled_us       INTEGER,
    last_error       TEXT,
    target_key       TEXT NOT NULL,
    target           TEXT NOT NULL,
    body             TEXT,
    UNIQUE (run_key, sequence),
    CHECK (next_us IS NULL OR state = 'pending')
) STRICT;

-- Of each run at most one is to be sent: the first that is pending. Only that one has a time.
CREATE INDEX delivery_due ON delivery (next_us) WHERE next_us IS NOT NULL;
CREATE INDEX delivery_by_target ON delivery (target_key, next_us) WHERE next_us IS NOT NULL;
CREATE INDEX delivery_pending ON delivery (run_key, sequence) WHERE state = 'pending';

-- For people: the newest first, and what was given up.
CREATE INDEX delivery_by_time ON delivery (project, occurred_us);
CREATE INDEX delivery_dead ON delivery (project, occurred_us) WHERE state = 'dead';

CREATE TABLE trace (
    run_key  TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    trace    TEXT NOT NULL,
    PRIMARY KEY (run_key, seq)
) STRICT, WITHOUT ROWID;

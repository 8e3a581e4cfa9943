-- Columns are named as the fields of RunRecord, LogEntry and StoredRequest. Maps are JSON text. scope_boundary,
-- scope_key and user_key repeat what scope holds, so that queries can filter and sort on them.

PRAGMA application_id = 0x6d777231;

CREATE TABLE run (
    run_key            TEXT NOT NULL PRIMARY KEY,
    seq                INTEGER NOT NULL CHECK (seq >= 0),
    epoch              INTEGER NOT NULL CHECK (epoch >= 0),
    last_operated_us   INTEGER,
    last_modified_us   INTEGER NOT NULL,
    created_us         INTEGER NOT NULL,
    seed               INTEGER NOT NULL CHECK (seed >= 0),
    model_file         TEXT NOT NULL,
    model_language     TEXT NOT NULL,
    model_version      REAL,
    model_fingerprint  TEXT NOT NULL,
    morphology         TEXT NOT NULL,
    scope_boundary     TEXT,
    scope_key          TEXT,
    user_key           TEXT,
    tracking_key       TEXT,
    marked             INTEGER NOT NULL CHECK (marked IN (0, 1)),
    hidden             INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    closed             INTEGER NOT NULL CHECK (closed IN (0, 1)),
    allow_channel      INTEGER NOT NULL CHECK (allow_channel IN (0, 1)),
    ephemeral          INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    perpetual          INTEGER NOT NULL CHECK (perpetual IN (0, 1)),
    grammar            TEXT,
    cloned_from        TEXT,
    compare_after_seq  INTEGER NOT NULL CHECK (compare_after_seq >= 0),
    scope              TEXT NOT NULL,
    permit             TEXT NOT NULL,
    execution_context  TEXT NOT NULL,
    address            TEXT,
    user               TEXT
) STRICT;

CREATE TABLE entry (
    run_key     TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    epoch       INTEGER NOT NULL CHECK (epoch >= 0),
    kind        TEXT NOT NULL CHECK (kind IN ('boot', 'execute', 'set', 'rewind')),
    at_us       INTEGER NOT NULL,
    action      BLOB NOT NULL,
    actor       BLOB,
    status      TEXT NOT NULL CHECK (status IN ('completed', 'error')),
    outcome     BLOB NOT NULL,
    digest      BLOB NOT NULL,
    request_id  TEXT,
    batch       INTEGER NOT NULL CHECK (batch >= 0),
    rewound_by  INTEGER CHECK (rewound_by > seq),
    PRIMARY KEY (run_key, seq)
) STRICT, WITHOUT ROWID;

-- A request may be answered for a run of another key than the one it was written with, so nothing refers to run.
CREATE TABLE request (
    request_id  TEXT NOT NULL,
    run_key     TEXT NOT NULL,
    digest      BLOB NOT NULL,
    first_seq   INTEGER NOT NULL CHECK (first_seq >= 0),
    last_seq    INTEGER NOT NULL,
    result      BLOB,
    PRIMARY KEY (request_id, run_key),
    CHECK (last_seq >= first_seq)
) STRICT, WITHOUT ROWID;

-- For removing a run, and for keeping the answers whose entries a destructible rewind deletes.
CREATE INDEX request_by_run ON request (run_key, last_seq);

CREATE TABLE variable (
    run_key  TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (run_key, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
    run_key  TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (run_key, name)
) STRICT, WITHOUT ROWID;

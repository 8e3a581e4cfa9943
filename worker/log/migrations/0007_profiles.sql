-- What makes runs findable and says what course they take by themselves: one profile for each run. It is written only
-- where something of it changes; what every append moves stays in run. Wide JSON columns stand behind the narrow ones.
-- default_name is the worker's own.

-- What the actions of a run took, and how many they were.
ALTER TABLE run ADD COLUMN wall_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN cpu_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN peak_rss_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN actions INTEGER NOT NULL DEFAULT 0;

CREATE TABLE profile (
    run_key             TEXT NOT NULL PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    project             TEXT NOT NULL,
    run_id              TEXT,
    request_digest      BLOB,
    name                TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('created', 'starting', 'executing', 'paused', 'ready', 'failed')),
    status_seq          INTEGER NOT NULL DEFAULT 0 CHECK (status_seq >= 0),
    finish_reason       TEXT,
    error               TEXT,
    parent              TEXT,
    environment         TEXT NOT NULL,
    created_by          TEXT,
    updated_by          TEXT,
    config_id           TEXT,
    config_version      INTEGER,
    source_type         TEXT,
    source              TEXT,
    tags                TEXT NOT NULL DEFAULT '[]',
    evaluation          TEXT,
    ttl_seconds         INTEGER CHECK (ttl_seconds > 0),
    expires_us          INTEGER,
    test                INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)),
    interactive         INTEGER NOT NULL DEFAULT 1 CHECK (interactive IN (0, 1)),
    reasoning_traces    INTEGER NOT NULL DEFAULT 0 CHECK (reasoning_traces IN (0, 1)),
    call_summarization  INTEGER NOT NULL DEFAULT 0 CHECK (call_summarization IN (0, 1)),
    attached_functions  TEXT,
    on_status_change    TEXT,
    result_mode         TEXT,
    parameters          TEXT,
    result              TEXT,
    result_errors       TEXT,
    result_schema       TEXT,
    context             TEXT,
    course              TEXT,
    pending             TEXT
) STRICT;

CREATE UNIQUE INDEX profile_by_run_id ON profile (project, run_id) WHERE run_id IS NOT NULL;

-- What a worker that starts again takes up.
CREATE INDEX profile_to_do ON profile (status) WHERE status IN ('created', 'starting', 'executing');

-- Runs whose time may be over. A run in memory stays whatever this says.
CREATE INDEX profile_by_expiry ON profile (expires_us) WHERE expires_us IS NOT NULL;

-- Columns in the order of the key: quick_check of SQLite 3.40 finds damage where they are in another.
CREATE TABLE tag (
    project  TEXT NOT NULL,
    tag      TEXT NOT NULL,
    run_key  TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    PRIMARY KEY (project, tag, run_key)
) STRICT, WITHOUT ROWID;

-- For removing a run, and for changing its tags.
CREATE INDEX tag_by_run ON tag (run_key);

INSERT INTO profile (run_key, project, name, status, parent, environment, created_by)
SELECT run_key, project, default_name(model_file, created_us), 'ready', cloned_from, 'default', json_extract(user, '$.user_key')
FROM run ORDER BY rowid;

-- Which run a world has; world_key '' is the project's singular run. A binding counts while its run is neither closed
-- nor hidden.

CREATE TABLE binding (
    project    TEXT NOT NULL,
    world_key  TEXT NOT NULL,
    run_key    TEXT NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    PRIMARY KEY (project, world_key)
) STRICT, WITHOUT ROWID;

-- For removing a run.
CREATE INDEX binding_by_run ON binding (run_key);

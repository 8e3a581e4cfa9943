-- What query_runs looks for. scalar: what a value counts as in comparisons (worker.runs.comparison): a number, a text,
-- x'00' and x'01' for false and true, x'02' for what is only there, NULL for null; these sort in different ranges.
-- at_ms: milliseconds since 1970 of a text that is an ISO-8601 time. scalar_of and at_ms_of are the worker's own.

ALTER TABLE variable ADD COLUMN scalar ANY;
ALTER TABLE variable ADD COLUMN at_ms INTEGER;
UPDATE variable SET scalar = scalar_of(value), at_ms = at_ms_of(value);
CREATE INDEX variable_by_scalar ON variable (name, scalar) WHERE scalar IS NOT NULL;
CREATE INDEX variable_by_time ON variable (name, at_ms) WHERE at_ms IS NOT NULL;

ALTER TABLE metadata ADD COLUMN scalar ANY;
ALTER TABLE metadata ADD COLUMN at_ms INTEGER;
UPDATE metadata SET scalar = scalar_of(value), at_ms = at_ms_of(value);
CREATE INDEX metadata_by_scalar ON metadata (name, scalar) WHERE scalar IS NOT NULL;
CREATE INDEX metadata_by_time ON metadata (name, at_ms) WHERE at_ms IS NOT NULL;

-- These repeat what address holds.
ALTER TABLE run ADD COLUMN group_name TEXT;
ALTER TABLE run ADD COLUMN episode_name TEXT;
UPDATE run SET group_name = json_extract(address, '$.group_name'), episode_name = json_extract(address, '$.episode_name');

-- Nothing that an append changes is among these columns.
CREATE INDEX run_by_scope ON run (scope_key, scope_boundary, model_file);
CREATE INDEX run_by_group ON run (group_name, scope_boundary, episode_name) WHERE group_name IS NOT NULL;
CREATE INDEX run_by_user ON run (user_key) WHERE user_key IS NOT NULL;
CREATE INDEX run_by_tracking_key ON run (tracking_key) WHERE tracking_key IS NOT NULL;
CREATE INDEX run_by_model_file ON run (model_file);
CREATE INDEX run_by_created ON run (created_us);

-- The name space of a run, 'account/project'; '' is the default one. Every query is within one project, so its
-- indexes begin with it.

ALTER TABLE run ADD COLUMN project TEXT NOT NULL DEFAULT '';

DROP INDEX run_by_scope;
DROP INDEX run_by_group;
DROP INDEX run_by_user;
DROP INDEX run_by_tracking_key;
DROP INDEX run_by_model_file;
DROP INDEX run_by_created;
CREATE INDEX run_by_scope ON run (project, scope_key, scope_boundary, model_file);
CREATE INDEX run_by_group ON run (project, group_name, scope_boundary, episode_name) WHERE group_name IS NOT NULL;
CREATE INDEX run_by_user ON run (project, user_key) WHERE user_key IS NOT NULL;
CREATE INDEX run_by_tracking_key ON run (project, tracking_key) WHERE tracking_key IS NOT NULL;
CREATE INDEX run_by_model_file ON run (project, model_file);
CREATE INDEX run_by_created ON run (project, created_us);
CREATE INDEX run_by_project ON run (project, run_key);

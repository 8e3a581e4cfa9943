-- What external functions were asked and answered while the entry's action was performed: a msgpack list of
-- [name, arguments, status, value]; NULL where nothing was called.
ALTER TABLE entry ADD COLUMN answers BLOB;

-- Processes in which somebody waits for jobs to end: they are told. Who died is
-- told until its time is over.
CREATE TABLE offstage.herald (
	id bigint PRIMARY KEY,
	until timestamptz NOT NULL
) WITH (fillfactor = 10);

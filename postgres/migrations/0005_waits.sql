-- What jobs wait for otherwise than for time: signals, and the ends of others.

-- A job that waits for a key, as offstage.SignalKey and EndKey make them. Its row in
-- parked or, for a limited time, scheduled says that it waits; without that, of the
-- same run, a row here means nothing.
CREATE TABLE offstage.wait (
	job bigint PRIMARY KEY,
	run int NOT NULL,             -- of the next attempt
	key text COLLATE "C" NOT NULL
);
CREATE INDEX wait_key ON offstage.wait (key);

CREATE TABLE offstage.signal (
	name text COLLATE "C" PRIMARY KEY,
	at timestamptz NOT NULL,
	payload text NOT NULL         -- JSON
);
CREATE INDEX signal_at ON offstage.signal (at);

-- Jobs that wait for a handler or a resumed kind are looked for again and again;
-- those that wait for something else, of which there may be many, are not met.
CREATE INDEX parked_handler ON offstage.parked (kind, job) WHERE reason IN ('kind unknown', 'kind paused');

-- What running jobs have done so far, and keys that are taken once.

-- The run of a job that may write to its steps. A row is made by the first one
-- that has steps, and goes with the job.
CREATE TABLE offstage.epoch (
	job bigint PRIMARY KEY,
	run int NOT NULL
) WITH (fillfactor = 90);

CREATE TABLE offstage.step (
	job bigint NOT NULL,
	finished_at timestamptz NOT NULL,
	wake_at timestamptz,          -- of a sleep
	took bigint NOT NULL,         -- microseconds, of the last try
	run int NOT NULL,             -- the one that remembered it last
	tries int NOT NULL,
	kind smallint NOT NULL,       -- as offstage.StepKind
	name text COLLATE "C" NOT NULL,
	value text,                   -- JSON
	PRIMARY KEY (job, name)
) WITH (fillfactor = 90);

CREATE TABLE offstage.once (
	key text COLLATE "C" PRIMARY KEY,
	at timestamptz NOT NULL
);
CREATE INDEX once_at ON offstage.once (at);

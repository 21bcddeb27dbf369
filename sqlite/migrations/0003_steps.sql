-- What running jobs have done so far, and keys that are taken once.

-- The run of a job that may write to its steps. A row is made by the first one
-- that has steps, and goes with the job.
CREATE TABLE offstage_epoch (
    job INTEGER PRIMARY KEY,
    run INTEGER NOT NULL
) STRICT;

CREATE TABLE offstage_step (
    job         INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    kind        INTEGER NOT NULL, -- as offstage.StepKind
    run         INTEGER NOT NULL, -- the one that remembered it last
    tries       INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    took        INTEGER NOT NULL, -- microseconds, of the last try
    wake_at     INTEGER,          -- of a sleep
    value       TEXT,             -- JSON
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE offstage_once (
    key TEXT PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX offstage_once_at ON offstage_once (at);

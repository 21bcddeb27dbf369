-- The core: jobs, where they wait, who runs them, how their attempts ended.
-- Times are microseconds since 1970, durations nanoseconds unless said otherwise.
-- There are no triggers and no foreign keys: the statements keep the tables
-- consistent within one transaction each.

-- What was given out last. One row; names counts the changes of queue and kind.
CREATE TABLE offstage_counter (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    job    INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    batch  INTEGER NOT NULL,
    names  INTEGER NOT NULL
) STRICT;
INSERT INTO offstage_counter VALUES (1, 0, 0, 0, 0, 0);

-- Names of queues and kinds, so that hot rows hold small numbers. Never deleted.
-- The counted_ columns are what the chore Count found, at counted_at.
CREATE TABLE offstage_queue (
    id                INTEGER PRIMARY KEY,
    name              TEXT    NOT NULL UNIQUE,
    paused            INTEGER NOT NULL DEFAULT 0,
    counted_at        INTEGER,
    counted_ready     INTEGER NOT NULL DEFAULT 0,
    counted_scheduled INTEGER NOT NULL DEFAULT 0,
    counted_capped    INTEGER NOT NULL DEFAULT 0,
    counted_oldest    INTEGER -- since when the oldest ready job was ready
) STRICT;

CREATE TABLE offstage_kind (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    paused         INTEGER NOT NULL DEFAULT 0,
    keep_completed INTEGER NOT NULL DEFAULT 0, -- as offstage.Retention
    keep_failed    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The facts. Only an operator, or a unique insert, changes a row.
CREATE TABLE offstage_job (
    id           INTEGER PRIMARY KEY,
    kind         INTEGER NOT NULL,
    queue        INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    args         TEXT    NOT NULL, -- JSON, byte for byte
    max_attempts INTEGER NOT NULL,
    timeout      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    run_at       INTEGER NOT NULL, -- when it was to become due at first
    uniq_key     BLOB,
    uniq_mode    INTEGER,
    extra        TEXT              -- JSON of offstage.Extra; null: empty
) STRICT;

-- A row exists exactly while the job may be claimed. band 0 comes first: what
-- was rescued, handed back or asked for by hand; seq is the order of arrival.
CREATE TABLE offstage_ready (
    queue    INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    band     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    job      INTEGER NOT NULL,
    run      INTEGER NOT NULL, -- the number of the attempt that the next claim starts
    errors   INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    since    INTEGER NOT NULL, -- when it became ready
    PRIMARY KEY (queue, priority, band, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX offstage_ready_job ON offstage_ready (job);

-- Jobs that wait for their time.
CREATE TABLE offstage_scheduled (
    run_at INTEGER NOT NULL,
    job    INTEGER NOT NULL,
    run    INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    lost   INTEGER NOT NULL,
    retry  INTEGER NOT NULL, -- 1: retrying, after a failure
    PRIMARY KEY (run_at, job)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX offstage_scheduled_job ON offstage_scheduled (job);

-- Jobs that wait for something other than time: the text says for what.
CREATE TABLE offstage_parked (
    job    INTEGER PRIMARY KEY,
    kind   INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    run    INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    lost   INTEGER NOT NULL
) STRICT;
CREATE INDEX offstage_parked_kind ON offstage_parked (kind, job);

-- Jobs of a long sequence: they do not exist until their batch is published,
-- and then wait here until they are moved on.
CREATE TABLE offstage_batch (
    id         INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    first      INTEGER NOT NULL, -- no job of it has a smaller id
    published  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE offstage_staged (
    job      INTEGER PRIMARY KEY,
    batch    INTEGER NOT NULL,
    queue    INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    run_at   INTEGER NOT NULL
) STRICT;

-- One row per claim; held names the jobs that it took, as encoded by heldJobs.
CREATE TABLE offstage_claim (
    worker INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    held   BLOB    NOT NULL,
    PRIMARY KEY (worker, seq)
) STRICT, WITHOUT ROWID;

-- One row per ended attempt: the history, and half of the fence.
CREATE TABLE offstage_attempt (
    job         INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    outcome     INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- what the job became; terminal on the last run: it has ended
    worker      INTEGER NOT NULL, -- 0: nobody had it
    claim       INTEGER NOT NULL, -- whose result this is; 0: nobody's
    errors      INTEGER NOT NULL, -- the counters after it
    lost        INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    ran         INTEGER,          -- microseconds; null: the handler was never started
    error       TEXT,
    trace       TEXT,
    result      TEXT,
    log         TEXT,
    PRIMARY KEY (job, run)
) STRICT, WITHOUT ROWID;
-- For people: what failed or was cancelled, latest first.
CREATE INDEX offstage_attempt_ended ON offstage_attempt (next, finished_at, job) WHERE next IN (7, 8);

-- Running jobs that are to be cancelled.
CREATE TABLE offstage_cancel (
    job INTEGER PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT;

-- Who holds a unique key; see insertUnique. live 0: the holder has ended, yet
-- its period has not.
CREATE TABLE offstage_uniq (
    key    BLOB    PRIMARY KEY,
    job    INTEGER NOT NULL,
    queued INTEGER,          -- the follower, with mode KeepLast
    until  INTEGER NOT NULL,
    live   INTEGER NOT NULL,
    first  INTEGER NOT NULL  -- when the first of a burst came, for Debounce
) STRICT, WITHOUT ROWID;
CREATE INDEX offstage_uniq_expiry ON offstage_uniq (until) WHERE live = 0;

CREATE TABLE offstage_progress (
    job     INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL,
    done    INTEGER NOT NULL,
    total   INTEGER NOT NULL,
    message TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- Registered workers. Whether one lives is known by the lock on its side file.
CREATE TABLE offstage_worker (
    id         INTEGER PRIMARY KEY,
    info       TEXT    NOT NULL, -- JSON of offstage.WorkerInfo
    started_at INTEGER NOT NULL,
    dead       INTEGER NOT NULL DEFAULT 0,
    suspect     INTEGER NOT NULL DEFAULT 0, -- the job that it named last,
    suspect_run INTEGER NOT NULL DEFAULT 0  -- and the run
) STRICT;

CREATE TABLE offstage_leader (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    term   INTEGER NOT NULL,
    worker INTEGER NOT NULL, -- 0: nobody
    until  INTEGER NOT NULL
) STRICT;
INSERT INTO offstage_leader VALUES (1, 0, 0, 0);

CREATE TABLE offstage_setting (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

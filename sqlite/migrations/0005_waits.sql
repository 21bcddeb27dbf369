-- What jobs wait for otherwise than for time: signals, and the ends of others.

-- A job that waits for a key, as offstage.SignalKey and EndKey make them. Its row in
-- offstage_parked or, for a limited time, offstage_scheduled says that it waits;
-- without that, of the same run, a row here means nothing.
CREATE TABLE offstage_wait (
    job   INTEGER PRIMARY KEY,
    key   TEXT    NOT NULL,
    run   INTEGER NOT NULL -- of the next attempt
) STRICT;
CREATE INDEX offstage_wait_key ON offstage_wait (key);

CREATE TABLE offstage_signal (
    name    TEXT    PRIMARY KEY,
    at      INTEGER NOT NULL,
    payload TEXT    NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX offstage_signal_at ON offstage_signal (at);

-- Jobs that wait for a handler or a resumed kind are looked for again and again;
-- those that wait for something else, of which there may be many, are not met.
CREATE INDEX offstage_parked_handler ON offstage_parked (kind, job) WHERE reason IN ('kind unknown', 'kind paused');

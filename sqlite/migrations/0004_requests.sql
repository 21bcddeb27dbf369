-- Requests that were answered by a job, so that a repeat gets the same answer.
-- The key outlives the job: it goes when its time is over.
CREATE TABLE offstage_request (
    key         BLOB    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    job         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX offstage_request_expiry ON offstage_request (until);

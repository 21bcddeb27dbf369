-- Requests that were answered by a job, so that a repeat gets the same answer.
-- The key outlives the job: it goes when its time is over.
CREATE TABLE offstage.request (
	key bytea PRIMARY KEY,
	fingerprint bytea NOT NULL,
	job bigint NOT NULL,
	at timestamptz NOT NULL,
	until timestamptz NOT NULL
);
CREATE INDEX request_expired ON offstage.request (until);

-- Ready jobs are found without an index of them all, which was one more entry to
-- write for each job and one more to be dead. A job that has been ready since its
-- insert lies where its own row says: in its queue and priority, at the transaction
-- that inserted it. What became ready in any other way, as everything did that is
-- here by now, says so and is in an index of its own.
ALTER TABLE offstage.job ADD COLUMN xid xid8; -- null: inserted by an older program
ALTER TABLE offstage.job ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
ALTER TABLE offstage.ready ADD COLUMN moved boolean NOT NULL DEFAULT true;
CREATE UNIQUE INDEX ready_moved ON offstage.ready (job) WHERE moved;
DROP INDEX offstage.ready_job;

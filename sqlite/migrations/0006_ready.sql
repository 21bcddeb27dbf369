-- Ready jobs are found by their job without an index of them all, into which every
-- enqueue would insert and from which every claim would delete.

-- Ids and places come from one counter: a job that has been ready since its insert has
-- its id for a seq, and so its row is found through the job's: at the same queue and
-- priority, in band 1. The column seq stays, with the same number, for programs of an
-- earlier version that have the file open; see the statements of the counters.
UPDATE offstage_counter SET job = max(job, seq), seq = max(job, seq);

-- All other rows are found here. In band 0 a seq may equal the job by chance: the two
-- were counted apart, and earlier versions go on to.
DROP INDEX offstage_ready_job;
CREATE UNIQUE INDEX offstage_ready_moved ON offstage_ready (job) WHERE band <> 1 OR seq <> job;

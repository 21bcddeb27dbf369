// graphile-worker on PostgreSQL.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { Unable, version } from "./system.mjs";

const logger = new Logger(() => () => {});

// The index jobs_main_index of graphile-worker serves the first half.
const leftSQL = `SELECT EXISTS (SELECT FROM graphile_worker._private_jobs WHERE is_available AND run_at <= now())
  OR EXISTS (SELECT FROM graphile_worker._private_jobs WHERE locked_at IS NOT NULL) AS left`;

export async function open({ url, queues, defaults }) {
  if (queues?.length) throw new Unable("a named queue of graphile-worker runs one job at a time: it is something else");
  const best = {
    concurrentJobs: 100,
    maxPoolSize: 20,
    localQueue: { size: 1000 },
    completeJobBatchDelay: 10,
    failJobBatchDelay: 10,
  };
  const worker = defaults ? {} : best;
  const utils = await makeWorkerUtils({ connectionString: url, logger });
  await utils.migrate();
  const look = new pg.Client(url);
  await look.connect();
  const spec = (job) => {
    const spec = {};
    if (job.delay > 0) spec.runAt = new Date(Date.now() + job.delay * 1000);
    if (job.key) spec.jobKey = job.key;
    return spec;
  };
  let runner;
  return {
    settings: `${version("graphile-worker")}, ` + (defaults
      ? "all default: 1 job at once"
      : "concurrentJobs 100, localQueue.size 1000, completeJobBatchDelay 10 ms, failJobBatchDelay 10 ms, addJobs for many") +
      "; ended jobs are deleted",
    async insert(jobs) {
      if (jobs.length === 1) {
        await utils.addJob("ping", jobs[0].payload, spec(jobs[0]));
      } else {
        await utils.addJobs(jobs.map((job) => ({ identifier: "ping", payload: job.payload, ...spec(job) })));
      }
    },
    async start(tally) {
      runner = await run({
        connectionString: url, logger, noHandleSignals: true, crontab: "", taskList: { ping: (payload) => tally.handle(payload) },
        preset: { worker },
      });
    },
    async stop() {
      await runner.stop();
    },
    async left() {
      return (await look.query(leftSQL)).rows[0].left;
    },
    async close() {
      await utils.release();
      await look.end();
    },
  };
}

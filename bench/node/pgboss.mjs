// pg-boss on PostgreSQL.
import { PgBoss } from "pg-boss";
import pg from "pg";
import { Unable, version } from "./system.mjs";

const leftSQL = `SELECT EXISTS (SELECT FROM pgboss.job WHERE name = 'ping' AND state < 'completed' AND state <> 'retry' AND start_after <= now()) AS left`;

export async function open({ url, queues, defaults }) {
  if (queues?.length) throw new Unable("each queue of pg-boss needs a worker of its own");
  const boss = new PgBoss({ connectionString: url, max: 20, useListenNotify: !defaults });
  boss.on("error", () => {});
  await boss.start();
  await boss.createQueue("ping", defaults ? {} : { notify: true });
  const look = new pg.Client(url);
  await look.connect();
  const options = (job) => {
    if (job.queue) throw new Unable("each queue of pg-boss needs a worker of its own");
    const opts = {};
    if (job.delay > 0) opts.startAfter = job.delay;
    if (job.key) opts.singletonKey = job.key;
    return opts;
  };
  const work = defaults ? {} : { batchSize: 1000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
  return {
    settings: `${version("pg-boss")}, pool of 20, ` + (defaults
      ? "all default: one job every 2 s"
      : "batchSize 1000 (the handler gets the whole batch), burstWhenBatchFull, useListenNotify, poll 0.5 s, insert for many") + "; completed jobs kept",
    async insert(jobs) {
      if (jobs.length === 1) await boss.send("ping", jobs[0].payload, options(jobs[0]));
      else await boss.insert("ping", jobs.map((job) => ({ data: job.payload, ...options(job) })));
    },
    async start(tally) {
      await boss.work("ping", work, async (batch) => {
        for (const job of batch) await tally.handle(job.data);
      });
    },
    async stop() {
      await boss.offWork("ping");
    },
    async left() {
      return (await look.query(leftSQL)).rows[0].left;
    },
    async close() {
      await boss.stop({ graceful: false });
      await look.end();
    },
  };
}

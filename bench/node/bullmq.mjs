// BullMQ on Redis.
import { Queue, Worker } from "bullmq";
import { Unable, version } from "./system.mjs";

export async function open({ url, queues, defaults }) {
  if (queues?.length) throw new Unable("each queue of BullMQ needs a worker of its own");
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue("ping", { connection, defaultJobOptions: { removeOnComplete: true } });
  const concurrency = defaults ? 1 : 100;
  const options = (job) => {
    if (job.queue) throw new Unable("each queue of BullMQ needs a worker of its own");
    const opts = {};
    if (job.delay > 0) opts.delay = job.delay * 1000;
    if (job.key) opts.deduplication = { id: job.key };
    return opts;
  };
  let worker;
  return {
    settings: `${version("bullmq")}, concurrency ${concurrency}, addBulk for many; ended jobs are deleted (removeOnComplete)`,
    async insert(jobs) {
      if (jobs.length === 1) await queue.add("ping", jobs[0].payload, options(jobs[0]));
      else await queue.addBulk(jobs.map((job) => ({ name: "ping", data: job.payload, opts: options(job) })));
    },
    async start(tally) {
      worker = new Worker("ping", async (job) => tally.handle(job.data), { connection, concurrency });
      worker.on("error", () => {});
      await worker.waitUntilReady();
    },
    async stop() {
      await worker.close(true);
    },
    async left() {
      const { waiting, active, prioritized } = await queue.getJobCounts("waiting", "active", "prioritized");
      return waiting + active + prioritized > 0;
    },
    async close() {
      await queue.close();
    },
  };
}

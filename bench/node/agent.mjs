// Runs one queue that is written in JavaScript as an agent of the benchmark:
//
//     node agent.mjs graphile [defaults | check]
//
// "check" only finds out whether it can be loaded.
// It obeys the same orders in the same form as package agent of this module;
// read agent/orders.go for what they mean. Each adapter is a file of its own.
import readline from "node:readline";
import { Unable } from "./system.mjs";

const adapters = {
  graphile: "./graphile.mjs",
  pgboss: "./pgboss.mjs",
  bullmq: "./bullmq.mjs",
};

const pad = "x".repeat(62);

const now = () => (performance.timeOrigin + performance.now()) * 1e6; // Unix nanoseconds
const clock = () => performance.now() / 1000; // seconds
const rest = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const mostRSS = () => process.resourceUsage().maxRSS / 1024;

// Tally counts the jobs that handlers have started.
class Tally {
  constructor(order) {
    this.order = order;
    this.started = 0;
    this.times = [];
  }

  // handle is the body of every handler; a promise only if it has to wait.
  handle(payload) {
    if (payload.at) this.times.push((now() - payload.at) / 1e6);
    if (this.order.sleep > 0) return rest(this.order.sleep).then(() => this.end());
    return this.end();
  }

  end() {
    this.started++;
    if (this.order.fail) throw new Error("this job fails as ordered");
  }
}

// Driver is a system with what is under way in it.
class Driver {
  keys = 0;

  constructor(open) {
    this.openSystem = open;
  }

  async open(env) {
    this.system = await this.openSystem(env);
    return { settings: this.system.settings };
  }

  async insert(order) {
    const size = Math.max(order.size, 1);
    const begin = clock();
    const cpu = used();
    let given = 0;
    let stored = 0;
    const caller = async () => {
      while (!order.seconds || clock() - begin < order.seconds) {
        const first = given;
        given += size;
        const jobs = this.jobs(order, first, Math.min(size, order.jobs - first));
        if (jobs.length === 0) return;
        await this.system.insert(jobs);
        stored += jobs.length;
      }
    };
    await Promise.all(Array.from({ length: Math.max(order.callers, 1) }, caller));
    this.keys += given;
    return { jobs: stored, seconds: clock() - begin, cpu: used() - cpu, rss: mostRSS() };
  }

  jobs(order, first, n) {
    return Array.from({ length: Math.max(n, 0) }, (_, i) => {
      const job = { payload: { at: 0, pad }, delay: order.delay || 0 };
      if (order.queues > 0) job.queue = queueName((first + i) % order.queues);
      if (order.unique) job.key = `key ${this.keys + first + i}`;
      return job;
    });
  }

  async work(order) {
    this.tally = new Tally(order);
    this.since = clock();
    this.cpu = used();
    await this.system.start(this.tally);
    this.busy = true;
  }

  async stop() {
    if (!this.busy) return;
    this.busy = false;
    await this.system.stop();
  }

  async finish(order) {
    const until = clock() + order.seconds;
    for (;;) {
      const done = this.tally.started >= order.jobs && !(await this.system.left());
      const cut = !done && clock() > until;
      if (done || cut) {
        return { jobs: this.tally.started, seconds: clock() - this.since, cpu: used() - this.cpu, rss: mostRSS(), cut };
      }
      await rest(0.001);
    }
  }

  async steady(order) {
    const before = this.tally.started;
    const cpu = used();
    const begin = clock();
    const windows = [];
    let last = before;
    let at = begin;
    const watch = order.window > 0 && setInterval(() => {
      windows.push((this.tally.started - last) / (clock() - at));
      last = this.tally.started;
      at = clock();
    }, order.window * 1000);
    let inserted = 0;
    while (clock() - begin < order.seconds) {
      if (inserted - (this.tally.started - before) > order.ahead) {
        await rest(0.0005);
        continue;
      }
      await this.system.insert(this.jobs({}, 0, order.size));
      inserted += order.size;
    }
    clearInterval(watch);
    const count = await this.finish({ jobs: before + inserted, seconds: 60 + order.seconds });
    return { ...count, jobs: count.jobs - before, seconds: clock() - begin, cpu: used() - cpu, windows };
  }

  async probe(order) {
    let loading = true;
    const load = this.load(order.load, () => loading);
    for (let i = 0; i < order.jobs; i++) {
      await rest(order.least + Math.random() * (order.most - order.least));
      await this.system.insert([{ payload: { at: now(), pad }, delay: 0 }]);
    }
    loading = false;
    await load;
    return { ms: [] };
  }

  async load(rate, on) {
    if (!(rate > 0)) return;
    const begin = clock();
    let inserted = 0;
    while (on()) {
      const due = Math.floor((clock() - begin) * rate) - inserted;
      if (due < Math.max(rate / 100, 1)) {
        await rest(0.001);
        continue;
      }
      await this.system.insert(this.jobs({}, 0, Math.min(due, 1000)));
      inserted += Math.min(due, 1000);
    }
  }

  async took(order) {
    const until = clock() + order.seconds;
    while (this.tally.times.length < order.jobs && clock() < until) await rest(0.001);
    return { ms: this.tally.times };
  }

  usage() {
    return { cpu: used(), rss: mostRSS() };
  }

  async close() {
    await this.stop();
    if (this.system) await this.system.close();
  }
}

const queueName = (i) => `queue${String(i).padStart(2, "0")}`;

const [, , name, how] = process.argv;
const { open } = await import(adapters[name]);
if (how === "check") process.exit(0);
const driver = new Driver((env) => open({ ...env, defaults: how === "defaults" }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.do === "close") break;
  let reply;
  try {
    reply = { with: await driver[order.do](order.with) };
  } catch (error) {
    reply = { error: String(error?.message || error), unable: error instanceof Unable };
  }
  process.stdout.write(JSON.stringify(reply) + "\n");
}
await driver.close();
process.exit(0);

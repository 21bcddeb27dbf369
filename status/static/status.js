// <offstage-status src="{status address}"> follows a job: it fills the parts
// inside it that are marked data-part (state, says, bar, message, place, error),
// or makes them, and fires the events "offstage:state" and "offstage:end", with
// what is known of the job as detail. With the attribute reload it loads the page
// again when the job has ended.
const says = {
  scheduled: "This will begin later.", ready: "This begins in a moment.", running: "This is under way.",
  retrying: "This did not work and will be tried again.", blocked: "This waits for something else.",
  completed: "This is done.", failed: "This could not be done.", cancelled: "This was cancelled.",
};
const template = `<p class="now"><span class="state" data-part="state"></span> <span data-part="says"></span></p>
<progress data-part="bar" aria-label="Progress" hidden></progress><p class="soft" data-part="message"></p>
<p class="soft" data-part="place"></p><p class="note bad" data-part="error" hidden></p>`;

class OffstageStatus extends HTMLElement {
  static observedAttributes = ["src"];
  #source;
  #said;

  connectedCallback() { this.#open(); }
  disconnectedCallback() { this.#close(); }
  attributeChangedCallback() { if (this.isConnected) this.#open(); }

  #close() { this.#source?.close(); this.#source = null; }

  #open() {
    this.#close();
    const src = this.getAttribute("src");
    if (!src) return;
    if (!this.querySelector("[data-part]")) this.innerHTML = template;
    if (!this.#said) {
      // What screen readers are told: each state once, not each step.
      this.#said = this.appendChild(document.createElement("p"));
      this.#said.className = "hidden";
      this.#said.setAttribute("role", "status");
    }
    const source = this.#source = new EventSource(src + "/events");
    const show = (event) => this.#show(JSON.parse(event.data));
    source.addEventListener("state", show);
    source.addEventListener("progress", show);
    source.addEventListener("end", (event) => { this.#close(); show(event); this.#end(JSON.parse(event.data)); });
    source.onopen = () => this.removeAttribute("stale");
    source.onerror = () => {
      this.setAttribute("stale", "");
      // A browser gives up after an answer that is no stream; the link may be old.
      if (source.readyState === EventSource.CLOSED && this.#source === source) setTimeout(() => this.isConnected && this.#open(), 5000);
    };
  }

  #part(name, fill) { this.querySelectorAll(`[data-part="${name}"]`).forEach(fill); }
  #text(name, text) { this.#part(name, (e) => { if (e.textContent !== text) e.textContent = text; e.hidden = !text; }); }

  #show(job) {
    const sentence = job.cancelling && job.state === "running" ? "This is being cancelled." : says[job.state];
    this.setAttribute("state", job.state);
    this.#part("state", (e) => { e.className = `state ${job.state}`; e.textContent = job.state; });
    this.#text("says", sentence);
    if (this.#said.textContent !== sentence) this.#said.textContent = sentence;
    this.#part("bar", (bar) => {
      bar.hidden = job.state !== "running";
      if (job.progress?.total) { bar.max = job.progress.total; bar.value = job.progress.done; } else bar.removeAttribute("value");
    });
    const over = ["completed", "failed", "cancelled"].includes(job.state);
    this.#text("message", (!over && job.progress?.message) || "");
    const at = job.starts_at && new Date(job.starts_at).toLocaleTimeString();
    const ahead = job.position?.ahead ? `${job.position.more ? "More than " : ""}${job.position.ahead} before this one. ` : "";
    this.#text("place", ahead + (at ? `It is expected to start at ${at}.` : ""));
    this.#text("error", (job.state !== "cancelled" && job.error) || "");
    this.dispatchEvent(new CustomEvent("offstage:state", { bubbles: true, detail: job }));
  }

  #end(job) {
    this.dispatchEvent(new CustomEvent("offstage:end", { bubbles: true, detail: job }));
    if (this.hasAttribute("reload")) location.reload();
  }
}

customElements.define("offstage-status", OffstageStatus);

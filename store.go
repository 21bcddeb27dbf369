package offstage

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Store keeps jobs. It is the contract between the client and the worker on one
// side and a database on the other; package storetest states it as named cases
// and every store passes all of them.
//
// All methods may be called by many goroutines at once. All times are the
// store's own clock: callers send durations, stores answer with times. Failures
// of the store itself are [StoreError]s; a call whose answer was lost may be
// repeated where its method says so. Slices and byte slices that go in belong
// to the caller again when the call returns; those that come out are the
// caller's.
type Store interface {
	Inserter
	Requester
	Queue
	Rememberer
	Waiter
	Registry
	Keeper
	Inspector
	Observer
	Operator
	Scheduler

	// Within returns the store as seen from inside the caller's transaction,
	// or ErrForeignTx. What it does happens if and only if the caller commits.
	Within(tx Tx) (TxStore, error)
	// Migrate brings the schema up to date. It is safe to call from many
	// processes at once, only ever adds, and answers ErrNewerSchema to a schema
	// that it does not know.
	Migrate(ctx context.Context) error
	// Close ends the store's goroutines and connections. It does not end what
	// others still run on it: stop the workers first.
	Close() error
}

// Tx is a transaction of the caller's database. The stores make it: sqlite.Tx,
// postgres.Tx, postgres.SQLTx, offstagetest.Tx.
type Tx interface {
	// StoreTx returns what the store understands, such as a *sql.Tx.
	StoreTx() any
}

// TxStore is a store inside the caller's transaction. It lives no longer than
// the transaction and is for one goroutine.
type TxStore interface {
	// Insert is [Inserter.Insert] in this transaction.
	Insert(ctx context.Context, jobs []NewJob) ([]Inserted, error)
	// InsertFlow is [Requester.InsertFlow] in this transaction.
	InsertFlow(ctx context.Context, job NewJob) (Inserted, error)
	// Complete ends a running attempt as completed, fenced as in
	// [Queue.Finish]. It answers ErrLeaseLost if the claim is gone or the
	// attempt has ended. The result's Outcome must be OutcomeCompleted.
	Complete(ctx context.Context, worker WorkerID, result Result) error
	TxRememberer
}

// Inserter takes jobs in.
type Inserter interface {
	// Insert stores the jobs, all or none, and answers one Inserted for each,
	// in order. When it returns, they are durable. A repeat after a lost answer
	// is the store's own business: it knows the ids before it commits, and asks
	// under them again until ctx ends or its patience does.
	Insert(ctx context.Context, jobs []NewJob) ([]Inserted, error)
	// InsertSeq stores all jobs of the sequence or none, in bounded memory, and
	// holds no lock while the sequence runs: chunks are staged, unseen by
	// anybody, and published by one row. It returns how many there were. An
	// error of the sequence ends it and nothing is stored. Unique jobs are an
	// InvalidError here.
	InsertSeq(ctx context.Context, jobs iter.Seq2[NewJob, error]) (int64, error)
}

// NewJob is a job to be inserted. Clients check it before a store sees it.
type NewJob struct {
	Kind        string
	Queue       string
	Priority    int
	Args        []byte        // JSON, kept byte for byte
	MaxAttempts int           // 0: as the kind or the engine says
	Timeout     time.Duration // 0: as the kind says
	RunAt       time.Time     // zero: after Delay
	Delay       time.Duration // from the store's now; 0: at once
	Unique      *UniqueKey    // nil: not unique
	Extra
	// Request and Then are for [Requester.InsertFlow] only; nil: none.
	Request *Request // the request that the job answers
	Then    *NewJob  // the job that follows it

	then Args // what Then is built from
}

// Inserted says what became of a NewJob.
type Inserted struct {
	ID ID
	// Existed says that a unique job was there already, and ID names it. What
	// happened to it is its mode's business. With a request, it says that the
	// request was made before.
	Existed bool
	// At is when the request was made first; zero without a request.
	At time.Time
}

// UniqueKey is what makes a job unique. See [UniqueRule] for what the modes do.
type UniqueKey struct {
	Key     []byte        // a hash, 16 bytes: the kind and what was chosen of the args
	Mode    UniqueMode    // Skip, Replace, Debounce or KeepLast
	Period  time.Duration // the key is held at least this long after the insert
	Wait    time.Duration // Debounce: the time of quiet to wait for
	MaxWait time.Duration // Debounce: the longest wait since the first; 0: 10 × Wait
}

// WorkerID names a registered worker. The store gives it at Register and never
// gives it again. The zero value names none.
type WorkerID int64

// Queue hands jobs out and takes results in.
type Queue interface {
	// Claim takes ready jobs for a registered worker, in one statement for all
	// its pools: for each pool up to its slots, by the order of its queues,
	// then priority, then band and order of arrival. Jobs of paused queues are
	// left alone. What it took is named by one claim row under (Worker, Seq)
	// until it is released; no row is written when there was nothing to take.
	// After a lost answer the caller finds out by Claims; it must not use Seq
	// again.
	Claim(ctx context.Context, req ClaimRequest) (Claim, error)
	// Finish records how attempts ended, all in one transaction, and answers a
	// verdict for each, in order. A result counts only if its claim row exists
	// and no attempt row of its (job, run) does; all that follows (retry,
	// unique key, follower) derives from results that counted. A repeat is
	// safe. A job with a pending cancel that would go on waiting ends cancelled
	// instead. FaultData means that at least one result cannot be stored and
	// none was.
	Finish(ctx context.Context, req FinishRequest) ([]Verdict, error)
	// Claims lists what the store believes that this worker holds: the jobs of
	// its claim rows that have no attempt row for their run.
	Claims(ctx context.Context, worker WorkerID) ([]HeldClaim, error)
	// Ended reports whether this run of the job has a recorded end. It is how a
	// worker learns whether the transaction in which a handler called Complete
	// was committed.
	Ended(ctx context.Context, job ID, run int) (bool, error)
	// LoadArgs returns the arguments of a job whose claim left them out, or
	// ErrNotFound.
	LoadArgs(ctx context.Context, job ID) ([]byte, error)
	// SaveProgress stores the latest progress of running jobs, one small row
	// each. Reports of a run older than the stored one are dropped.
	SaveProgress(ctx context.Context, reports []JobProgress) error
}

// ClaimRequest asks for jobs.
type ClaimRequest struct {
	Worker WorkerID
	Seq    int64 // chosen by the worker before it sends; never used twice
	Pools  []PoolRequest
	// NoSuspects leaves suspects (Lost ≥ SuspectLost) to other workers: this one
	// has one already.
	NoSuspects bool
	// Sweep asks for a look past the store's own hints at what is exhausted:
	// jobs that a hint hides are found and moved to the front. Stores without
	// hints ignore it.
	Sweep bool
}

// PoolRequest is one pool's part of a ClaimRequest.
type PoolRequest struct {
	Queues []string // in the order in which they are served
	Slots  int      // free slots; the most jobs to take
}

// Claim is what a worker got.
type Claim struct {
	Seq  int64
	Jobs []ClaimedJob // none: nothing was ready, and there is no claim row
	// Pending says that transactions were open at this look which may have
	// added jobs that it could not see: look again soon, though nobody knocks.
	Pending bool
}

// ClaimedJob is one job of a claim.
type ClaimedJob struct {
	Facts
	Pool   int // index into ClaimRequest.Pools
	Run    int // the number of the attempt that begins now
	Errors int
	Lost   int
	// ArgsDeferred: the arguments are over 8 KiB; call LoadArgs at the start.
	ArgsDeferred bool
	// Missing: the job's facts are gone (it was deleted); only ID, Queue and Run
	// are set. Finish it as cancelled.
	Missing bool
	// CancelAsked: finish it as cancelled without starting it.
	CancelAsked bool
	// KindPaused: finish it as blocked without starting it.
	KindPaused bool
}

// HeldClaim is a claim row as the store has it.
type HeldClaim struct {
	Seq  int64
	Jobs []HeldJob // those without a recorded end
}

// HeldJob is a job of a claim row.
type HeldJob struct {
	Job    ID
	Run    int
	Errors int
	Lost   int
}

// FinishRequest carries ended attempts of one worker.
type FinishRequest struct {
	Worker  WorkerID
	Results []Result
	// Release names claims all of whose jobs have ended with this call or
	// before; their rows are deleted.
	Release []int64
}

// Result is how one attempt ended and what the job becomes.
type Result struct {
	Job     ID
	Run     int
	Claim   int64 // the Seq under which it was claimed
	Outcome Outcome
	// Next is the job's next state: Completed, Failed, Cancelled; Retrying or
	// Scheduled (after Wait); Ready (at once, before jobs that never started);
	// Blocked (until Waits is resolved).
	Next  State
	Wait  time.Duration
	Waits string // for Blocked: WaitsKindUnknown, WaitsKindPaused or WaitKey
	// WaitKey, for Blocked, is a [SignalKey] or [EndKey] that the job waits for: it
	// becomes ready when that comes, or at once if it is there. If Wait is not 0, it
	// is scheduled after Wait instead of blocked, and becomes ready by what is first.
	WaitKey string
	Errors  int // the counters that the next run carries
	Lost    int
	Ran     time.Duration // how long the handler ran; 0 with Started false
	// Started says that the handler was started.
	Started   bool
	UniqueKey []byte // as claimed; released when Next is terminal
	Parent    ID     // as claimed; when Next is terminal, it may wait for that
	Error     string // valid UTF-8 without NUL
	Trace     string
	Value     json.RawMessage // the handler's result; nil: none
	Log       json.RawMessage // a JSON array of LogLine; nil: none
}

// What a blocked job waits for, as stored in Result.Waits and JobInfo.Waits.
const (
	WaitsKindUnknown = "kind unknown" // a worker that handles its kind
	WaitsKindPaused  = "kind paused"  // its kind to be resumed
	WaitsUnique      = "unique"       // the job that holds its unique key to end
)

// Verdict is what became of a Result.
type Verdict struct {
	Kind VerdictKind
	Next State // the state that was stored; may be Cancelled where a retry was sent
}

// VerdictKind says whether a Result counted.
type VerdictKind uint8

// The verdicts.
const (
	Refused VerdictKind = iota // the claim is gone or another's end stands; nothing was changed
	Counted                    // it was recorded now
	Already                    // it was recorded before, by this same claim
)

// JobProgress is one running job's progress.
type JobProgress struct {
	Job     ID
	Run     int
	Done    int64
	Total   int64
	Message string
}

// Registry knows which workers live.
type Registry interface {
	// Register makes a worker known, with its queues and kinds (whose rows it
	// creates), and unblocks waiting jobs of those kinds.
	Register(ctx context.Context, info WorkerInfo) (WorkerID, error)
	// Beat says that the worker lives and answers what it should know. ErrGone
	// means that it was taken for dead.
	Beat(ctx context.Context, worker WorkerID) (Beat, error)
	// Rescue takes the peer for dead, if its counter still is what was seen (or
	// Dead is set), and ends up to limit of its running attempts as lost: their
	// jobs are ready again at the front, or cancelled where that was asked, or
	// failed when too many workers in a row died of them (MaxLost). When none
	// is left, the worker is forgotten. It writes with a short lock time-out
	// and may be called by many at once; it answers how many it ended and
	// whether more are left.
	Rescue(ctx context.Context, peer Peer, limit int) (rescued int, more bool, err error)
	// Suspect names the run of a suspect, a job that SuspectLost workers in a
	// row have died of, which this worker is about to start; it runs one at a
	// time. Should the worker die, no other suspect is blamed: those that only
	// waited for their turn are handed back as interrupted, at no cost. ErrGone
	// means that the worker was taken for dead.
	Suspect(ctx context.Context, worker WorkerID, job ID, run int) error
	// Unregister forgets a worker that holds no claim; otherwise its claims are
	// left for a rescue. It is a worker's last call.
	Unregister(ctx context.Context, worker WorkerID) error
}

// MaxLost is how many workers in a row may die while running a job without
// progress before it is taken for poison and fails.
const MaxLost = 3

// SuspectLost is from how many such deaths on a job is a suspect: one more will
// fail it, so a worker runs one suspect at a time, and names it before.
const SuspectLost = MaxLost - 1

// WorkerInfo describes a worker process.
type WorkerInfo struct {
	Name   string   `json:"name"` // for people: host and process id
	Queues []string `json:"queues"`
	Kinds  []Kind   `json:"kinds"`
	Slots  int      `json:"slots"`
}

// Kind is what a store knows about a kind of job.
type Kind struct {
	Name      string    `json:"name"`
	Retention Retention `json:"retention"`
}

// Retention says how long ended jobs are kept. Zero fields mean the defaults,
// 24 hours and 30 days; negative fields mean not at all.
type Retention struct {
	Completed time.Duration `json:"completed"` // completed jobs
	Failed    time.Duration `json:"failed"`    // failed and cancelled jobs
}

// Defaults for Retention.
const (
	KeepCompleted = 24 * time.Hour
	KeepFailed    = 30 * 24 * time.Hour
)

// Resolve returns the retention with defaults filled in and "not at all" as 0.
func (r Retention) Resolve() Retention {
	return Retention{Completed: resolveKeep(r.Completed, KeepCompleted), Failed: resolveKeep(r.Failed, KeepFailed)}
}

func resolveKeep(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return max(d, 0)
}

// Beat is the answer to a heartbeat.
type Beat struct {
	Peers   []Peer  // all other registered workers
	Held    []int64 // the Seqs of this worker's claim rows
	Cancels []ID    // running jobs that somebody wants cancelled, anybody's
	// Due is how long until a scheduled or retrying job is due, among those that
	// were committed before; a moment if one is due already, 0 if the store did
	// not look. It spares the leader's promoter looks of its own.
	Due time.Duration
}

// Peer is another worker as a heartbeat sees it.
type Peer struct {
	ID WorkerID
	// Counter changes with each of the peer's beats. A peer is dead when it has
	// not changed over one lease of the observer's own uninterrupted beats.
	Counter int64
	// Dead says that there is no need to wait: the store has proof, or another
	// observer has already condemned it.
	Dead bool
}

// Keeper does the chores that keep a store tidy. Any worker may call them; one
// that leads saves the others the work.
type Keeper interface {
	// Lead asks for, or renews, the leadership for ttl, and answers its term: a
	// number that grows with each new leader, 0 when another leads. A ttl of 0
	// resigns. Leadership only saves work; no promise rests on it.
	Lead(ctx context.Context, worker WorkerID, ttl time.Duration) (term int64, err error)
	// Chore does up to limit rows of one chore under a term, and answers what
	// it did. A term that is over does nothing and answers ErrNotLeading.
	Chore(ctx context.Context, term int64, chore Chore, limit int) (ChoreReport, error)
}

// Chore names one of the tasks that keep a store tidy.
type Chore uint8

// The chores.
const (
	Promote Chore = iota + 1 // scheduled and retrying jobs whose time has come become ready
	Publish                  // staged jobs of published batches become ready or scheduled; abandoned batches go
	Unblock                  // blocked jobs whose kind has a live handler and is not paused become ready
	Sweep                    // pending cancels of waiting jobs are carried out, those of ended jobs dropped
	Rescan                   // claims of workers that nobody knows are rescued
	Prune                    // ended jobs past their retention and expired unique keys go
	Count                    // ready and scheduled jobs per queue are counted for Stats
)

var choreNames = []string{"", "promote", "publish", "unblock", "sweep", "rescan", "prune", "count"}

// String returns the chore's name.
func (c Chore) String() string { return nameOf(choreNames, uint8(c), "chore") }

// ChoreReport says what a chore did.
type ChoreReport struct {
	Done int  // rows that it changed
	More bool // there is more to do at once
	// Next is how long until there will be something to do, as far as is known
	// now; 0: unknown. Only Promote answers it.
	Next time.Duration
}

// Inspector answers questions. It never counts a whole table.
type Inspector interface {
	// Get returns a job with its history, or ErrNotFound.
	Get(ctx context.Context, id ID) (Details, error)
	// List returns a page of jobs.
	List(ctx context.Context, filter Filter) (Page, error)
	// EndedOf returns those of the jobs that have ended or do not exist.
	EndedOf(ctx context.Context, ids []ID) ([]Ended, error)
	// Stats returns the figures of each queue and the living workers.
	Stats(ctx context.Context) (Stats, error)
	// Setting returns the bytes kept under this name, after storing value if
	// there were none. Every process gets the same bytes.
	Setting(ctx context.Context, name string, value []byte) ([]byte, error)
}

// Ended is a job that will not change any more, unless an operator retries it.
type Ended struct {
	ID     ID
	State  State // zero: there is no such job
	Error  string
	Result json.RawMessage
}

// Operator changes jobs and queues by a person's hand.
type Operator interface {
	// Apply changes one job and answers the state that it has afterwards. It
	// answers ErrNotFound, or a StateError where the state does not allow it.
	// Cancelling a running job only asks for it, and answers Running; cancelling
	// a job that is cancelled already changes nothing.
	Apply(ctx context.Context, change Change) (State, error)
	// Pause stops (or resumes) the start of jobs of a queue or a kind. Jobs that
	// run go on.
	Pause(ctx context.Context, target PauseTarget, paused bool) error
}

// Waker is what stores add that can tell a worker of news at once. Without it,
// workers look every half second.
type Waker interface {
	// Watch calls wake, from one goroutine, whenever there may be something new,
	// until ctx ends. It calls ready once, when it has begun to watch. An error
	// means that watching does not work here (or no longer); the caller polls,
	// and tries again if the error is a StoreError.
	Watch(ctx context.Context, ready func(), wake func(News)) error
	// Sleep tells enqueuers whether this worker must be knocked up. The worker
	// says so before its last look.
	Sleep(ctx context.Context, worker WorkerID, asleep bool) error
}

// Herald is what stores add that can tell of the ends of jobs at once. Without it,
// those who wait for jobs look four times a second.
type Herald interface {
	// WatchEnds calls wake, from one goroutine, whenever jobs may have ended or
	// gone, whoever ended them, until ctx ends; then it returns nil. It calls ready
	// once, when it has begun; an end that was being recorded at that moment may go
	// untold, so look again in the second after it. Errors are as with [Waker.Watch].
	WatchEnds(ctx context.Context, ready, wake func()) error
}

// News says what a Waker's call is about.
type News uint8

// Soon is how near a job's time must be for its enqueue, or its change, to be told
// as [NewsAny] while a worker is asleep: what is due later the leader learns early
// enough by its heartbeats.
const Soon = 3 * time.Second

// The kinds of news.
const (
	NewsAny    News = iota // something changed, or will soon
	NewsReady              // jobs may be ready
	NewsCancel             // a running job is to be cancelled
)

package sqlite

import (
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"github.com/offstagehq/offstage"
)

// heldJob is a job as its claim row names it.
type heldJob struct {
	job    offstage.ID
	run    int
	errors int
	lost   int
	queue  int64
}

// encodeHeld writes the jobs of a claim as varints, five for each: a claim is
// written and read often, and only ever as a whole.
func encodeHeld(jobs []heldJob) []byte {
	b := make([]byte, 0, 12*len(jobs))
	for _, h := range jobs {
		for _, n := range [...]int64{int64(h.job), int64(h.run), int64(h.errors), int64(h.lost), h.queue} {
			b = binary.AppendVarint(b, n)
		}
	}
	return b
}

var errHeld = errors.New("a claim row cannot be read: the database is damaged")

func decodeHeld(b []byte) ([]heldJob, error) {
	jobs := make([]heldJob, 0, len(b)/8)
	for len(b) > 0 {
		var n [5]int64
		for i := range n {
			var size int
			if n[i], size = binary.Varint(b); size <= 0 {
				return nil, errHeld
			}
			b = b[size:]
		}
		jobs = append(jobs, heldJob{offstage.ID(n[0]), int(n[1]), int(n[2]), int(n[3]), n[4]})
	}
	return jobs, nil
}

// claimRow is one claim.
type claimRow struct {
	worker offstage.WorkerID
	seq    int64
	at     int64
	jobs   []heldJob
}

// All claims, or a worker's, in the order of the primary key; and one by it.
const (
	sqlAllClaims    = `SELECT worker, seq, at, held FROM offstage_claim ORDER BY worker, seq`
	sqlWorkerClaims = `SELECT worker, seq, at, held FROM offstage_claim WHERE worker = ? ORDER BY seq`
	sqlOneClaim     = `SELECT worker, seq, at, held FROM offstage_claim WHERE worker = ? AND seq = ?`
)

// claims reads claim rows.
func claims(rows iter.Seq2[row, error]) ([]claimRow, error) {
	var list []claimRow
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		jobs, err := decodeHeld(r.blob(3))
		if err != nil {
			return nil, err
		}
		list = append(list, claimRow{offstage.WorkerID(r.num(0)), r.num(1), r.num(2), jobs})
	}
	return list, nil
}

// One attempt by its primary key.
const sqlHasEnded = `SELECT 1 FROM offstage_attempt WHERE job = ? AND run = ?`

// unended returns those of a claim's jobs whose run has no recorded end.
func unended(ses session, jobs []heldJob) ([]heldJob, error) {
	var left []heldJob
	for _, h := range jobs {
		ended, err := first(ses.rows(sqlHasEnded, h.job, h.run))
		if err != nil {
			return nil, err
		}
		if ended == nil {
			left = append(left, h)
		}
	}
	return left, nil
}

// holder says which worker has a running job, and since when.
type holder struct {
	heldJob
	worker offstage.WorkerID
	at     time.Time
}

// holders returns who holds which job. A job whose run has ended is among them
// until its claim is released.
func holders(ses session) (map[offstage.ID]holder, error) {
	list, err := claims(ses.rows(sqlAllClaims))
	if err != nil {
		return nil, err
	}
	all := map[offstage.ID]holder{}
	for _, c := range list {
		for _, h := range c.jobs {
			if known, ok := all[h.job]; !ok || known.run < h.run {
				all[h.job] = holder{h, c.worker, time.UnixMicro(c.at)}
			}
		}
	}
	return all, nil
}

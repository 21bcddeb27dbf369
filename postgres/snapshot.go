package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// snapshot is what one statement could see: the transactions whose numbers are
// below xmax, except those that were under way.
type snapshot struct {
	xmax uint64
	open []uint64 // in ascending order, all below xmax
}

// parseSnapshot reads PostgreSQL's text form, "xmin:xmax:xid,xid".
func parseSnapshot(text string) (snapshot, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return snapshot{}, fmt.Errorf("%q is not a snapshot", text)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return snapshot{}, fmt.Errorf("snapshot %q: %w", text, err)
	}
	sn := snapshot{xmax: xmax}
	for xid := range strings.SplitSeq(parts[2], ",") {
		if xid == "" {
			continue
		}
		n, err := strconv.ParseUint(xid, 10, 64)
		if err != nil {
			return snapshot{}, fmt.Errorf("snapshot %q: %w", text, err)
		}
		sn.open = append(sn.open, n)
	}
	slices.Sort(sn.open)
	return sn, nil
}

// sees reports whether a transaction had ended when the snapshot was taken.
func (sn snapshot) sees(xid uint64) bool {
	if xid >= sn.xmax {
		return false
	}
	_, open := slices.BinarySearch(sn.open, xid)
	return !open
}

package sqlite

import "sync"

// site is what all that use one database in this process share.
type site struct {
	dir   string // "" in memory
	users int    // guarded by sites.mu
	gate  *gate  // nil in memory
	news  newsroom
}

// sites has the sites of this process whose databases are files.
var sites struct {
	mu   sync.Mutex
	open map[string]*site // by dir; guarded by mu
}

// enterSite returns the site of a database; whoever gets it leaves it.
func enterSite(at location) (*site, error) {
	if at.memory {
		return &site{}, nil
	}
	sites.mu.Lock()
	defer sites.mu.Unlock()
	if s := sites.open[at.side]; s != nil {
		s.users++
		return s, nil
	}
	gate, err := openGate(at.side)
	if err != nil {
		return nil, err
	}
	if sites.open == nil {
		sites.open = map[string]*site{}
	}
	s := &site{dir: at.side, users: 1, gate: gate}
	sites.open[at.side] = s
	return s, nil
}

func (s *site) leave() error {
	if s == nil || s.gate == nil {
		return nil
	}
	sites.mu.Lock()
	defer sites.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(sites.open, s.dir)
	return s.gate.close()
}

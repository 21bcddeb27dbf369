package postgres

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// FuzzTexts writes any texts as an array and has pgx's own reader read them.
func FuzzTexts(f *testing.F) {
	f.Add("", "NULL", `"`)
	f.Add(`\`, "{}", "a,b")
	f.Add("é\n", " ", `\"`)
	types := pgtype.NewMap()
	f.Fuzz(func(t *testing.T, a, b, c string) {
		texts := []string{a, b, c}
		for _, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				return // no text of PostgreSQL's
			}
		}
		var read []string
		if err := types.Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(strs(texts)), &read); err != nil || !slices.Equal(read, texts) {
			t.Errorf("%q is read as %q, %v", texts, read, err)
		}
	})
}

// FuzzAddress gives any address to the reader of URLs: that ends in an error, or
// in a configuration without our own parameter.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"", "postgres://u:p@127.0.0.1:5432/db?pgbouncer=true", "postgres://h/db?pgbouncer=false&pool_max_conns=2",
		"host=h dbname=d default_query_exec_mode=exec", "postgres://h/?pgbouncer", "postgres://%zz?pgbouncer=1", "pgbouncer=true",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if strings.Contains(address, "passfile") || strings.Contains(address, "service") || strings.Contains(address, "ssl") {
			return // it may name files
		}
		config, _, _, err := parse(address, nil)
		if u, e := url.Parse(address); err != nil || e != nil || !u.Query().Has("pgbouncer") {
			return
		}
		if _, left := config.ConnConfig.RuntimeParams["pgbouncer"]; left {
			t.Errorf("%q has our parameter among the server's", address)
		}
	})
}

// FuzzSnapshot reads any text as a snapshot: what can be read sees no number that
// is open, and none from xmax on.
func FuzzSnapshot(f *testing.F) {
	f.Add("10:20:10,14,15", uint64(14))
	f.Add("10:10:", uint64(9))
	f.Add("::,", uint64(0))
	f.Fuzz(func(t *testing.T, text string, xid uint64) {
		sn, err := parseSnapshot(text)
		if err == nil && sn.sees(xid) && (xid >= sn.xmax || slices.Contains(sn.open, xid)) {
			t.Errorf("%q sees %d", text, xid)
		}
	})
}

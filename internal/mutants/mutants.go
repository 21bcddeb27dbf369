package main

import (
	"fmt"
	"slices"
	"strings"
)

// mutants are all the deliberate faults.
var mutants = slices.Concat(ofEngine, ofMemory, ofSQLite, ofPostgres)

// table lists all faults in Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("| fault | in | caught by |\n|---|---|---|\n")
	for _, m := range mutants {
		test := strings.ReplaceAll(m.test, `pg\d+`, "pg15")
		fmt.Fprintf(&b, "| %s | `%s` | `%s` `%s` |\n", m.name, m.file, m.pkg, test)
	}
	return b.String()
}

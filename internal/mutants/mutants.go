package main

import "slices"

// mutants are all the deliberate faults.
var mutants = slices.Concat(ofEngine, ofSQLite, ofPostgres)

package schedule

import (
	"slices"
	"strings"
)

var (
	monthNames = []string{"january", "february", "march", "april", "may", "june", "july",
		"august", "september", "october", "november", "december"}
	weekdayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
)

// monthNumber reads the name of a month, whole or short, in lower case.
func monthNumber(name string) (int, bool) {
	n, ok := nameNumber(monthNames, name)
	return n + 1, ok
}

// weekdayNumber reads the name of a weekday, whole or short, in lower case. 0 is Sunday.
func weekdayNumber(name string) (int, bool) { return nameNumber(weekdayNames, name) }

func nameNumber(names []string, name string) (int, bool) {
	switch name {
	case "tues", "thur", "thurs", "sept":
		name = name[:3]
	}
	for n, full := range names {
		if name == full || name == full[:3] {
			return n, true
		}
	}
	return 0, false
}

// withShort lists names, whole and short, for suggestions.
func withShort(names []string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, name[:3])
	}
	return all
}

// weekdaysIn lists the names of weekdays, Monday first.
func weekdaysIn(s set) []string {
	var list []string
	for _, n := range mondayFirst(s).members() {
		list = append(list, weekdayNames[n%7])
	}
	return list
}

// mondayFirst makes the weekday 0 the weekday 7.
func mondayFirst(s set) set { return s&^1 | s&1<<7 }

// title writes a name with a capital letter.
func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

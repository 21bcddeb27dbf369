// Package fleet runs a campaign's processes: copies of its own program, which
// die with it, and which are started again whenever they have died. It needs
// Linux.
package fleet

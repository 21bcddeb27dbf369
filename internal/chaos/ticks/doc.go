// Package ticks has a test alone: real processes with schedules of one second,
// of which the one that leads is killed again and again.
package ticks

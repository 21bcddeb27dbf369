//go:build !unix

package demo

// syncDir does nothing: here a directory cannot be synced, and its entries are
// journaled with the file.
func syncDir(string) error { return nil }

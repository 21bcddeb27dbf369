//go:build !unix

package status

import "os"

// syncFolder does nothing: folders cannot be synced here.
func syncFolder(*os.File) error { return nil }

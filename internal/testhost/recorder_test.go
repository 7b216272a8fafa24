package testhost_test

import (
	"runtime"
	"testing"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	fatal bool
}

func (r *recorder) Fatal(args ...any) {
	r.fatal = true
	r.Log(args...)
	runtime.Goexit()
}

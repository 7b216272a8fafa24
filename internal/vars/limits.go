package vars

import (
	"runtime"
	"time"

	"github.com/crs58/fleet/internal/vars/sandbox"
)

// Limits bound what a run may take. Zero values mean the defaults.
type Limits struct {
	// Timeout is how long one script may run: two minutes.
	Timeout time.Duration
	// FileBytes is how large a file may be that a script writes: 16 MiB.
	FileBytes int64
	// LogBytes is how much of a script's output is kept, its end: 64 KiB.
	LogBytes int
	// Parallel is how many scripts run at a time: one per core.
	Parallel int
	// Lock is how long another run is waited for: 10 seconds.
	Lock time.Duration
}

// script are the limits of one script.
func (l Limits) script() sandbox.Limits {
	return sandbox.Limits{Timeout: l.Timeout, FileBytes: l.FileBytes, LogBytes: l.LogBytes}
}

func (l Limits) withDefaults() Limits {
	if l.Timeout <= 0 {
		l.Timeout = 2 * time.Minute
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 16 << 20
	}
	if l.LogBytes <= 0 {
		l.LogBytes = 64 << 10
	}
	if l.Parallel <= 0 {
		l.Parallel = runtime.NumCPU()
	}
	if l.Lock <= 0 {
		l.Lock = 10 * time.Second
	}
	return l
}

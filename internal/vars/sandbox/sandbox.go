// Package sandbox runs scripts that may be hostile: by means of bubblewrap on
// Linux, of Seatbelt on macOS. What its walls are stands in bubblewrap_linux.go and
// profile.go.
//
// A script sees nothing but what it is given: no network, no environment, no
// processes and no files of the host but the Nix store. Its folders $in, $out and
// $prompts are on memory, and gone when it has ended.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// Limits bound one script.
type Limits struct {
	// Timeout is how long it may run.
	Timeout time.Duration
	// FileBytes is how large a file may be that it writes.
	FileBytes int64
	// LogBytes is how much of its output is kept, the end.
	LogBytes int
}

// Job is one run of one script. What it is given is all that the script can know.
type Job struct {
	Script string // in the Nix store
	Shell  string // what runs it; empty if it says that itself
	// Host is what the script sees as the name of its host.
	Host    string
	Inputs  map[string]map[string][]byte // dependency → file → value
	Prompts map[string][]byte            // by name
	// Public tells of an input, and where dependency is empty of an output, that
	// its value needs no masking.
	Public func(dependency, file string) bool
}

// Error is a script that ended badly. Output is what it printed, with every
// secret value that was given to it or made by it masked.
type Error struct {
	Reason string
	Output string
}

func (e *Error) Error() string {
	if e.Output == "" {
		return e.Reason + "; it printed nothing"
	}
	return e.Reason + "; it printed:\n  " + strings.ReplaceAll(strings.TrimRight(e.Output, "\n"), "\n", "\n  ")
}

func timedOut(limit time.Duration) string {
	return fmt.Sprintf("the script did not end within %s and was killed with everything it had started", limit)
}

// Run runs a script and gives every regular file that it left in $out. The error
// is an [*Error] if it is about the script.
func (s *Sandbox) Run(ctx context.Context, j Job) (outputs map[string][]byte, err error) {
	w, err := newWorkspace(s.memory, j, s.uid)
	if err != nil {
		return nil, err
	}
	defer func() {
		if rm := w.remove(); rm != nil {
			err = errors.Join(err, fmt.Errorf("its folder holds secrets in memory and could not be removed: %w", rm))
		}
	}()
	log := &tail{limit: s.limits.LogBytes}
	reason, err := s.exec(ctx, j, w, log)
	if err != nil {
		return nil, err
	}
	outputs, readErr := w.outputs(s.limits.FileBytes)
	if reason == "" && readErr != nil {
		reason = readErr.Error()
	}
	if reason != "" {
		return nil, &Error{Reason: reason, Output: log.text(j.secrets(outputs))}
	}
	return outputs, nil
}

// command is the script with what runs it.
func (j Job) command() []string {
	if j.Shell == "" {
		return []string{j.Script}
	}
	return []string{j.Shell, j.Script}
}

// secrets are all values that must not appear in a message.
func (j Job) secrets(outputs map[string][]byte) (all [][]byte) {
	for dep, files := range j.Inputs {
		for file, value := range files {
			if !j.Public(dep, file) {
				all = append(all, value)
			}
		}
	}
	for _, value := range j.Prompts {
		all = append(all, value)
	}
	for file, value := range outputs {
		if !j.Public("", file) {
			all = append(all, value)
		}
	}
	return all
}

func exitReason(code int, fileBytes int64) string {
	if code == 128+int(syscall.SIGXFSZ) {
		return fmt.Sprintf("the script wrote a file larger than %d bytes", fileBytes)
	}
	if code > 128 {
		return fmt.Sprintf("the script was ended by signal %d (%s)", code-128, syscall.Signal(code-128))
	}
	return fmt.Sprintf("the script failed with exit code %d", code)
}

package vars

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// A sandbox runs scripts; what its walls are is a matter of the platform. Its
// platform gives it a folder on memory, an exec that runs a script in a
// workspace there, and a close.

// job is one run of one generator's script. What it is given is all that the
// script can know.
type job struct {
	id     ID
	script string                       // in the Nix store
	shell  string                       // what runs it; empty if it says that itself
	inputs map[string]map[string][]byte // dependency → file → value
	// prompts are the answers by name.
	prompts map[string][]byte
	// open are values among the inputs and outputs that need no masking.
	open func(generator, file string) bool
}

// ScriptError is a script that ended badly. Output is what it printed, with
// every secret value that fleet knows of masked.
type ScriptError struct {
	ID     ID
	Reason string
	Output string
}

func (e *ScriptError) Error() string {
	text := fmt.Sprintf("generator %s: %s", e.ID, e.Reason)
	if e.Output == "" {
		return text + "; it printed nothing"
	}
	return text + "; it printed:\n  " + strings.ReplaceAll(strings.TrimRight(e.Output, "\n"), "\n", "\n  ")
}

func timedOut(limit time.Duration) string {
	return fmt.Sprintf("the script did not end within %s and was killed with everything it had started", limit)
}

// run runs a script and gives every regular file that it left in $out.
func (s *sandbox) run(ctx context.Context, j job) (outputs map[string][]byte, err error) {
	w, err := newWorkspace(s.memory, j, s.uid)
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", j.id, err)
	}
	defer func() {
		if rm := w.remove(); rm != nil {
			err = errors.Join(err, fmt.Errorf("generator %s: its folder holds secrets in memory and could not be removed: %w", j.id, rm))
		}
	}()
	log := &tail{limit: s.limits.LogBytes}
	reason, err := s.exec(ctx, j, w, log)
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", j.id, err)
	}
	outputs, readErr := w.outputs(s.limits.FileBytes)
	if reason == "" && readErr != nil {
		reason = readErr.Error()
	}
	if reason != "" {
		return nil, &ScriptError{ID: j.id, Reason: reason, Output: log.text(j.secrets(outputs))}
	}
	return outputs, nil
}

// command is the script with what runs it.
func (j job) command() []string {
	if j.shell == "" {
		return []string{j.script}
	}
	return []string{j.shell, j.script}
}

// secrets are all values that must not appear in a message.
func (j job) secrets(outputs map[string][]byte) (all [][]byte) {
	for dep, files := range j.inputs {
		for file, value := range files {
			if !j.open(dep, file) {
				all = append(all, value)
			}
		}
	}
	for _, value := range j.prompts {
		all = append(all, value)
	}
	for file, value := range outputs {
		if !j.open(j.id.Name, file) {
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

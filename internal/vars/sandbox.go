package vars

import (
	"fmt"
	"strings"
	"time"
)

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

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/ssh"
	"github.com/hashicorp/go-multierror"
)

// Result is how one machine ended.
type Result struct {
	Machine string `json:"machine"`
	Target  string `json:"target,omitempty"`
	State   State  `json:"state"`
	// Phase is where a machine stopped that is not done.
	Phase Phase `json:"phase,omitempty"`
	// Out is the system that was wanted.
	Out string `json:"out,omitempty"`
	// Output is what the machine said about a goal that only asks it.
	Output []string `json:"output,omitempty"`
	// Message is the reason of a failure, or something to know.
	Message string `json:"message,omitempty"`
	// RebootNeeded tells that the machine does not run all of its system yet.
	RebootNeeded bool `json:"rebootNeeded,omitempty"`
	// Next is the command to go on with after a failure.
	Next string `json:"next,omitempty"`
	// Log is the file with all that was said on the way, after a failure.
	Log string `json:"log,omitempty"`
	// Cause is why an activation was not made permanent.
	Cause Cause `json:"cause,omitempty"`
	Err   error `json:"-"`
}

// fail ends a machine's way with an error. An error that comes from an
// interruption is none of the machine's.
func (r Result) fail(ctx context.Context, phase Phase, err error) Result {
	r.Phase, r.Err, r.Message, r.State = phase, err, err.Error(), Failed
	var held *heldBackError
	switch {
	case errors.As(err, &held):
		r.State = HeldBack
		return r
	case errors.Is(err, ErrUnknown):
		r.State, r.Next = Unknown, "fleet machines attach "+r.Machine
		if address, _ := ParseAddress(r.Target, "/"); address.Kind == Root { // whose activations only their own process knows
			r.Next = statusCommand(r.Machine)
		}
		return r
	case ctx.Err() != nil && phase == Reach:
		r.State, r.Message = NotStarted, "interrupted before anything was done"
		return r
	case ctx.Err() != nil:
		r.State, r.Message = Interrupted, interruptedText(phase)
		return r
	}
	r.Next = r.nextCommand()
	return r
}

// interruptedText says how an interrupted machine stands.
func interruptedText(phase Phase) string {
	switch phase {
	case Copy:
		return "interrupted while copying; what was copied stays, the machine runs what it ran"
	case Secrets, Activate:
		return "interrupted before activation; the machine runs what it ran"
	}
	return "interrupted; the machine is as it was"
}

// nextCommand is what a person would type after this failure.
func (r Result) nextCommand() string {
	var fixable *fixableError
	var full *DiskFullError
	var units *UnitsFailedError
	address, err := ParseAddress(r.Target, "")
	remote := err == nil && address.Kind == SSH
	var busy *BusyError
	var key *ssh.HostKeyError // says itself what to do
	switch {
	case errors.As(r.Err, &fixable):
		return fixable.next
	case errors.As(r.Err, &full):
		return full.Free
	case errors.Is(r.Err, errNoRestart):
		return "fleet machines update --goal boot " + r.Machine
	case errors.Is(r.Err, errNoActivation):
		return statusCommand(r.Machine)
	case errors.As(r.Err, &units):
		return address.onTarget("journalctl", "-b", "-u", units.Units[0])
	case r.Phase == Reach && remote && !errors.As(r.Err, &key) && !errors.As(r.Err, &busy):
		return address.onTarget("true")
	case errors.Is(r.Err, ssh.ErrSilent):
		return address.onTarget("pgrep", "-a", "nix")
	case r.Phase == Build:
		return buildCommand(r.Machine)
	case errors.As(r.Err, &busy) && busy.ID != "":
		return "fleet machines attach " + r.Machine
	case errors.As(r.Err, &busy):
		return statusCommand(r.Machine) // nothing can be joined yet
	case r.Phase == Activate || r.Phase == Confirm:
		return updateCommand(r.Machine)
	}
	return ""
}

func updateCommand(machine string) string { return "fleet machines update " + machine }

func statusCommand(machine string) string { return "fleet machines status " + machine }

// buildCommand tries a machine's evaluation and build again, without the machine.
func buildCommand(machine string) string { return "fleet machines build " + machine }

// addressOf is the address of a target that exists.
func addressOf(t Target) Address {
	a, _ := ParseAddress(t.String(), "")
	return a
}

// bad tells that the machine counts among those that failed.
func (r Result) bad() bool {
	return r.State == Failed || r.State == RolledBack || r.State == Unknown
}

// finished tells that going on with the run has nothing to do for the machine: it
// is at its system, or it went back for a reason of its own.
func (r Result) finished() bool {
	return r.State == Done || r.State == Unchanged || r.State == RolledBack && !r.abandoned()
}

// abandoned tells that an activation was not made permanent only because there was
// nobody to confirm it.
func (r Result) abandoned() bool {
	return r.Cause == CauseExpired || r.Cause == CauseKilled || r.Cause == CauseRebooted
}

// Summary is how all machines ended, sorted by name.
type Summary struct {
	// Run names the run in its record; empty where there is none.
	Run     string   `json:"run,omitempty"`
	Results []Result `json:"machines"`
}

func (d *Deployer) newSummary(results []Result) *Summary {
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.Machine, b.Machine) })
	s := &Summary{Results: results}
	if d.o.Record != nil {
		s.Run = d.o.Record.ID
	}
	return s
}

// Resumption is the command that goes on with the run; empty where there is nothing
// left to do. Machines that were held back are so again unless more may fail.
func (s *Summary) Resumption() string {
	command := "fleet machines update --resume " + s.Run
	switch {
	case s.Run == "" || !slices.ContainsFunc(s.Results, func(r Result) bool { return !r.finished() }):
		return ""
	case s.Count(HeldBack) > 0:
		return fmt.Sprintf("%s --max-failures %d", command, s.Count(Failed)+s.Count(RolledBack)+s.Count(Unknown))
	}
	return command
}

// Count gives the number of machines in a state.
func (s *Summary) Count(state State) int {
	n := 0
	for _, r := range s.Results {
		if r.State == state {
			n++
		}
	}
	return n
}

// The exit codes of a summary.
const (
	exitDone        = 0
	exitFailed      = 1
	exitSomeFailed  = 3
	exitRolledBack  = 4
	exitUnknown     = 5
	exitInterrupted = 130
)

// ExitCode is the exit code for the command line: an unknown outcome weighs
// more than an interruption, and that more than a failure. It says rolled back
// where nothing worse happened to any machine. A skipped machine does not count.
func (s *Summary) ExitCode() int {
	back := s.Count(RolledBack)
	failed := s.Count(Failed) + back
	switch {
	case s.Count(Unknown) > 0:
		return exitUnknown
	case s.Count(Interrupted)+s.Count(NotStarted) > 0:
		return exitInterrupted
	case failed == 0 && s.Count(HeldBack) == 0:
		return exitDone
	case failed == back && s.Count(HeldBack) == 0:
		return exitRolledBack
	case failed == len(s.Results)-s.Count(Skipped):
		return exitFailed
	}
	return exitSomeFailed
}

// Err gathers the errors of all machines; nil if there is none.
func (s *Summary) Err() error {
	var all *multierror.Error
	for _, r := range s.Results {
		if r.Err != nil {
			all = multierror.Append(all, fmt.Errorf("machine %s: %w", r.Machine, r.Err))
		}
	}
	return all.ErrorOrNil()
}

// Text says in one line how it ended: "6 done, 1 unchanged, 1 failed".
func (s *Summary) Text() string {
	var parts []string
	for _, state := range []State{Done, Unchanged, Failed, RolledBack, Unknown, Running, HeldBack, Interrupted, NotStarted, Skipped} {
		if n := s.Count(state); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return "no machines"
	}
	return strings.Join(parts, ", ")
}

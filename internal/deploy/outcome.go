package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// outcome is how an activation ended and what the machine looked like then.
type outcome struct {
	progress      Progress
	class         flake.Class
	goal          Goal
	verdict       error // why the driver rejected it
	unconfirmed   error // why it could do neither; nil if it never tried
	after         Facts // empty if nobody could look
	window, limit time.Duration
	lastWords     string
}

// The exit statuses of a NixOS system's switch-to-configuration, and of a
// program that its supervisor killed for taking too long.
const (
	codeRefused      = 1
	codeScriptFailed = 2
	codeUnitsFailed  = 4
	codeLocked       = 11 // EAGAIN, of the lock that another one holds
	codeRebootNeeded = 100
	codeOverdue      = 124
)

// succeeded tells whether an exit status is of a system that is active, or will
// be after a reboot. Failed units are looked at one by one.
func succeeded(class flake.Class, code int) bool {
	return code == 0 || class != flake.Darwin && (code == codeUnitsFailed || code == codeRebootNeeded)
}

// failure tells what went wrong, or nothing.
func (o outcome) failure() error {
	switch o.progress.Ending {
	case EndDone:
		return nil
	case EndStranded:
		return &StrandedError{Err: o.reason(), Code: o.progress.Code}
	}
	return fmt.Errorf("%w; %s", o.reason(), o.where())
}

// reason is why the activation was not made permanent.
func (o outcome) reason() error {
	code := o.progress.Code
	switch o.progress.Cause {
	case CauseRejected:
		if o.verdict != nil {
			return o.verdict
		}
		return errors.New("the new system was rejected")
	case CauseExpired:
		return fmt.Errorf("the new system was not confirmed within %s: %w", o.window, cmp.Or(o.unconfirmed, errNobody))
	case CauseRebooted:
		return errors.New("the machine was restarted before its new system was confirmed")
	case CauseKilled:
		return errors.New("the activation was killed" + o.said())
	case CauseFull:
		return errors.New("the file system of /var/lib/fleet is full")
	case CauseUncommitted:
		return errors.New("the new system could not be made the one that is booted" + o.said())
	case CauseUnrestarted:
		return errors.New("the machine could not be restarted" + o.said())
	}
	switch nixos := o.class != flake.Darwin; {
	case code == codeOverdue:
		return fmt.Errorf("the activation took longer than %s and was stopped%s", o.limit, o.said())
	case nixos && code == codeScriptFailed:
		return fmt.Errorf("the activation script failed (exit status %d)%s", code, o.said())
	case nixos && code == codeLocked:
		return fmt.Errorf("another activation is under way on the machine (exit status %d)%s", code, o.said())
	case nixos && code == codeRefused:
		return fmt.Errorf("the system refused to be activated (exit status %d)%s", code, o.said())
	}
	return fmt.Errorf("the activation failed (exit status %d)%s", code, o.said())
}

// errNobody is why nobody confirmed a system that we have not seen waiting for it.
var errNobody = errors.New("its driver was gone")

// inhibited tells that NixOS refuses to switch to a system that only a reboot
// may bring up (system.switch.inhibitors).
func (o outcome) inhibited() bool {
	return o.progress.Cause == CauseFailed && o.progress.Code == codeRefused && o.class != flake.Darwin &&
		strings.Contains(strings.ToLower(o.lastWords), "inhibitor")
}

// note is what to know about an activation that did not fail.
func (o outcome) note() string {
	switch {
	case o.class != flake.Darwin && o.progress.Code == codeRebootNeeded, o.goal == Boot:
		return "installed, but the machine must be rebooted to run it"
	case o.after.RebootNeeded:
		return "active, but the machine must be rebooted to run its kernel"
	case len(o.after.FailedUnits) > 0:
		return "units that had failed before are failed still: " + strings.Join(o.after.FailedUnits, ", ")
	}
	return ""
}

func (o outcome) said() string { return said(o.lastWords) }

func said(words string) string {
	if words == "" {
		return ""
	}
	return ": " + words
}

// where says what the machine is at now.
func (o outcome) where() string {
	rolledBack := o.progress.Ending == EndRolledBack
	switch {
	case rolledBack && o.after.Generation > 0 && o.after.Profile == o.after.System:
		return fmt.Sprintf("the machine is back on generation %d", o.after.Generation)
	case rolledBack && o.after.System != "": // its profile leads elsewhere, as it did
		return "the machine is back on " + o.after.System
	case rolledBack:
		return "the machine is back on the system of before"
	case o.after.System == "":
		return "the machine runs no system, and there is none to go back to"
	case o.progress.Cause == CauseFailed && (o.progress.Code == codeRefused || o.progress.Code == codeLocked):
		return "nothing was changed, the machine runs " + o.after.System
	}
	return "there is no earlier system to go back to, the machine runs " + o.after.System
}

// withJournal adds where all that the activation printed can be read, on a
// machine that has a journal. Units that failed have journals of their own.
func withJournal(err error, t Target, after Facts, id string) error {
	var units *UnitsFailedError
	if !after.Systemd || errors.As(err, &units) || addressOf(t).Kind == Local { // where the user has seen it
		return err
	}
	return &fixableError{err: err, next: addressOf(t).onTarget("journalctl", "-u", "fleet-activate-"+id)}
}

// UnitsFailedError says that units failed that had not failed before.
type UnitsFailedError struct{ Units []string }

func (e *UnitsFailedError) Error() string {
	return "units failed: " + strings.Join(e.Units, ", ")
}

// StrandedError says that a machine could not go back to the system of before.
type StrandedError struct {
	Err  error // why it wanted to
	Code int   // the exit status of the way back; 0 where the profile alone did not go along
}

func (e *StrandedError) Error() string {
	status := ""
	if e.Code > 0 {
		status = fmt.Sprintf(" (exit status %d)", e.Code)
	}
	return fmt.Sprintf("%v; going back to the system of before failed too%s: look at the machine", e.Err, status)
}

// Unwrap gives why the machine wanted to go back.
func (e *StrandedError) Unwrap() error { return e.Err }

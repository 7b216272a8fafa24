package deploy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// outcome is how an activation ended and what the machine looked like then.
type outcome struct {
	class       flake.Class
	code        int
	want        string
	after       Facts
	newlyFailed []string
	lastWords   string
}

// The exit statuses of a NixOS system's switch-to-configuration.
const (
	codeActivationFailed = 2
	codeUnitsFailed      = 4
	codeRebootNeeded     = 100
)

// failure tells what went wrong, or nothing.
func (o outcome) failure() error {
	nixos := o.class != flake.Darwin
	switch {
	case nixos && o.code == codeRebootNeeded:
		return nil
	case nixos && o.code == codeUnitsFailed:
		units := o.newlyFailed
		if len(units) == 0 {
			units = o.after.FailedUnits
		}
		if len(units) == 0 {
			return fmt.Errorf("the system is active, but units failed (exit status %d)%s", o.code, o.said())
		}
		return &UnitsFailedError{Units: units}
	case nixos && o.code == codeActivationFailed:
		return fmt.Errorf("the activation script failed (exit status %d)%s; %s", o.code, o.said(), o.where())
	case o.code != 0:
		return fmt.Errorf("the activation failed (exit status %d)%s; %s", o.code, o.said(), o.where())
	case o.after.System != o.want:
		return fmt.Errorf("the activation ended without an error, but %s", o.where())
	}
	return nil
}

// note is what to know about an activation that did not fail.
func (o outcome) note() string {
	if o.class != flake.Darwin && o.code == codeRebootNeeded {
		return "installed, but the machine must be rebooted to run it"
	}
	return ""
}

func (o outcome) said() string {
	if o.lastWords == "" {
		return ""
	}
	return ": " + o.lastWords
}

// where says which system runs and which one the next boot takes.
func (o outcome) where() string {
	switch o.after.System {
	case o.want:
		return "the machine runs the new system"
	case "":
		return "the machine runs no system; the profile is the new one"
	}
	return "the machine still runs " + o.after.System + "; the profile is the new system"
}

// withJournal adds where all that the activation printed can be read, on a
// machine that has a journal. Units that failed have journals of their own.
func withJournal(err error, t Target, after Facts, id string) error {
	var units *UnitsFailedError
	if !after.Systemd || errors.As(err, &units) {
		return err
	}
	return &fixableError{err: err, next: addressOf(t).onTarget("journalctl -b -u fleet-activate-" + id)}
}

// UnitsFailedError says that a system is active, but that units failed on the way.
type UnitsFailedError struct{ Units []string }

func (e *UnitsFailedError) Error() string {
	return "the system is active, but units failed: " + strings.Join(e.Units, ", ")
}

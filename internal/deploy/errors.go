package deploy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/crs58/fleet/internal/nix"
)

// DiskFullError says that a machine has no room for its system.
type DiskFullError struct {
	Target string // address of the machine
	Disk   Disk   // the file system that holds its store
	Free   string // the command that makes room
	Err    error
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("the file system of /nix/store on %s is full (%s); make room with `%s` and run the update again",
		e.Target, e.Disk, e.Free)
}

// Unwrap gives what Nix said.
func (e *DiskFullError) Unwrap() error { return e.Err }

// ForeignSystemError says that a system is for a platform that cannot be built
// for here, or on a build host.
type ForeignSystemError struct {
	System string
	Host   string // address of the build host; empty for here
	Err    error
}

func (e *ForeignSystemError) Error() string {
	if e.Host != "" {
		return fmt.Sprintf("it cannot be built on %s (%s): name a host that can with --build-host: %v", e.Host, e.System, e.Err)
	}
	return fmt.Sprintf("it cannot be built here (%s): name a host that can with --build-host (update, diff), run this on such a machine, or give Nix a remote builder for it: %v", e.System, e.Err)
}

// Unwrap gives what Nix said.
func (e *ForeignSystemError) Unwrap() error { return e.Err }

// fixableError knows the command that mends it.
type fixableError struct {
	err  error
	next string
}

func (e *fixableError) Error() string { return e.err.Error() }
func (e *fixableError) Unwrap() error { return e.err }

// buildError says what is to be said about a build that failed, beside what Nix
// says itself.
func buildError(err error) error {
	err = reasonOf(err)
	if errors.Is(err, nix.ErrDiskFull) {
		return &fixableError{
			err:  fmt.Errorf("the disk of this computer is full, make room with `nix-collect-garbage`: %w", err),
			next: "nix-collect-garbage",
		}
	}
	if system := foreignSystem(err); system != "" {
		return &ForeignSystemError{System: system, Err: err}
	}
	if failed, ok := errors.AsType[*nix.Error](err); ok && len(failed.Failures) > 0 {
		return err // which says what does not build
	}
	return fmt.Errorf("build its system: %w", err)
}

// reasonOf has an error of Nix say only the reason, not what was wanted of Nix.
func reasonOf(err error) error {
	if failed, ok := errors.AsType[*nix.Error](err); ok {
		return reasonError{failed}
	}
	return err
}

type reasonError struct{ failed *nix.Error }

func (e reasonError) Error() string { return e.failed.Reason() }
func (e reasonError) Unwrap() error { return e.failed }

// foreignSystem is the platform that Nix refuses to build for; empty if it failed
// for another reason.
func foreignSystem(err error) string {
	m := foreign.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// foreign is how Nix says that, and how newer ones do.
var foreign = regexp.MustCompile(`an? '([^']+)'(?: with features \{[^}]*\})? is required to build|Required system: '([^']+)'`)

// isDiskFull knows a full disk from Nix here, and from the words of a Nix daemon
// that could not even start.
func isDiskFull(err error) bool {
	return errors.Is(err, nix.ErrDiskFull) ||
		err != nil && (strings.Contains(err.Error(), "disk is full") || strings.Contains(err.Error(), "No space left on device"))
}

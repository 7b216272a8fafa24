package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
)

// Verdict is a machine's status in two words.
type Verdict string

// The verdicts. Reachable is for a machine whose declared system is not known.
const (
	UpToDate      Verdict = "up to date"
	Differs       Verdict = "differs"
	NeverDeployed Verdict = "never deployed"
	Unreachable   Verdict = "unreachable"
	Reachable     Verdict = "reachable"
	Broken        Verdict = "failed"
)

// KeyState says whether a machine has its age key.
type KeyState string

// The states of a key. KeyPresent is one that could not be compared.
const (
	KeyInPlace   KeyState = "in place"
	KeyMissing   KeyState = "missing"
	KeyOther     KeyState = "another key"
	KeyExposed   KeyState = "readable by others"
	KeyPresent   KeyState = "present"
	KeyNotNeeded KeyState = "not needed"
	KeyHidden    KeyState = "only root can see it"
	KeyUnseen    KeyState = "unknown"
)

// Status is how one machine stands.
type Status struct {
	Machine string      `json:"machine"`
	Class   flake.Class `json:"class"`
	Target  string      `json:"target"`
	Verdict Verdict     `json:"verdict"`
	// Declared is the system that the flake declares, if that is known.
	Declared string   `json:"declared,omitempty"`
	Found    Facts    `json:"found"`
	Key      KeyState `json:"key"`
	// Notes are findings beside the verdict.
	Notes []string `json:"notes,omitempty"`
	// Err is why the machine could not be looked at or does not evaluate.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`
}

// Good tells that nothing is to be done for the machine.
func (s Status) Good() bool {
	keyGood := s.Key == KeyInPlace || s.Key == KeyNotNeeded || s.Key == KeyPresent || s.Key == KeyHidden
	return s.Verdict == UpToDate && keyGood && len(s.Found.FailedUnits) == 0
}

// Status looks at every machine at once and changes nothing. A machine need not
// be evaluated: without Details it is only asked what it runs.
func (d *Deployer) Status(ctx context.Context, machines []Machine) []Status {
	list := make([]Status, len(machines))
	each(machines, func(i int, m Machine) {
		d.emit(m.Name, Reach, Started, "")
		list[i] = d.statusOf(ctx, m)
		d.emit(m.Name, End, Done, string(list[i].Verdict))
	})
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

func (d *Deployer) statusOf(ctx context.Context, m Machine) Status {
	s := Status{Machine: m.Name, Class: m.Class, Target: m.Address, Key: KeyUnseen}
	err := d.during(ctx, Reach, func() (err error) {
		s.Found, s.Target, err = d.look(ctx, m)
		return err
	})
	if err != nil {
		s.Err, s.Error, s.Verdict = err, err.Error(), Broken
		if unreachable(err) {
			s.Verdict = Unreachable
		}
		return s
	}
	if m.Details != nil && m.Details.Toplevel != nil {
		s.Declared = m.Details.Toplevel.OutPath
	}
	s.Verdict = verdict(s.Found, s.Declared)
	if m.Err != nil {
		s.Err, s.Error = m.Err, m.Err.Error()
	}
	if m.Details != nil {
		s.Key = d.keyState(ctx, m, s.Found)
	}
	s.Notes = notes(s.Found)
	return s
}

func verdict(found Facts, declared string) Verdict {
	switch {
	case found.System == "" && found.Profile == "":
		return NeverDeployed
	case declared == "":
		return Reachable
	case found.runs(declared):
		return UpToDate
	}
	return Differs
}

// notes are findings that a table has no column for.
func notes(found Facts) []string {
	var notes []string
	if found.Activating != "" {
		notes = append(notes, "an activation of "+found.Activating+" is under way or has failed")
	}
	if under := found.Deploy; under != nil && under.Live {
		notes = append(notes, under.busy("it").Error())
	} else if under != nil {
		notes = append(notes, "the deploy "+under.ID+" was cut off; the next update settles it")
	}
	if found.Profile != found.System {
		notes = append(notes, "it does not run the system of its profile")
	}
	if len(found.FailedUnits) > 0 {
		notes = append(notes, "failed units: "+strings.Join(found.FailedUnits, ", "))
	}
	return notes
}

// keyState compares the machine's key where that is possible.
func (d *Deployer) keyState(ctx context.Context, m Machine, found Facts) KeyState {
	if !hasSecrets(m.Details) {
		return KeyNotNeeded
	}
	switch {
	case found.Key.Hidden:
		return KeyHidden
	case found.Key.Digest == "":
		return KeyMissing
	case found.Key.Mode.Perm() != 0o600:
		return KeyExposed
	}
	content, err := d.machineKey(ctx, m.Name)
	switch {
	case err != nil:
		return KeyPresent
	case digest(content) != found.Key.Digest:
		return KeyOther
	}
	return KeyInPlace
}

// unreachable tells that a machine did not answer, or not as itself.
func unreachable(err error) bool {
	var auth *ssh.AuthError
	var key *ssh.HostKeyError
	for _, kind := range []error{ssh.ErrUnreachable, ssh.ErrRefused, ssh.ErrTimeout, ssh.ErrClosed, ssh.ErrConnectionLost, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return errors.As(err, &auth) || errors.As(err, &key)
}

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
	// Secrets is which of its secrets are in place; nil where that is not known.
	Secrets *SecretsState `json:"secrets,omitempty"`
	// Notes are findings beside the verdict.
	Notes []string `json:"notes,omitempty"`
	// Skipped says that it was to be skipped if nobody answers there, as is so.
	Skipped bool `json:"skipped,omitempty"`
	// Err is why the machine could not be looked at or does not evaluate.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`
}

// SecretsState is which of a machine's secrets are where its activation puts them.
type SecretsState struct {
	// Wanted is how many there are to be, Missing the paths of those that are not.
	Wanted  int      `json:"wanted"`
	Missing []string `json:"missing,omitempty"`
}

// Good tells that nothing is to be done for the machine.
func (s Status) Good() bool {
	return s.Verdict == UpToDate && s.keyGood() && (s.Secrets == nil || len(s.Secrets.Missing) == 0) && len(s.Found.FailedUnits) == 0
}

func (s Status) keyGood() bool {
	return s.Key == KeyInPlace || s.Key == KeyNotNeeded || s.Key == KeyPresent || s.Key == KeyHidden
}

// SecretsText says in a few words how the machine's key and secrets stand.
func (s Status) SecretsText() string {
	switch {
	case !s.keyGood() && s.Key != KeyUnseen:
		return "key " + string(s.Key)
	case s.Secrets != nil && len(s.Secrets.Missing) > 0:
		return fmt.Sprintf("%d of %d missing", len(s.Secrets.Missing), s.Secrets.Wanted)
	}
	return string(s.Key)
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
	m, err := d.meet(ctx, m)
	s := Status{Machine: m.Name, Class: m.Class, Target: m.Address, Key: KeyUnseen}
	if m.Details != nil && m.Details.Toplevel != nil {
		s.Declared = m.Details.Toplevel.OutPath
	}
	if err == nil {
		err = d.during(ctx, Reach, func() (err error) {
			s.Found, s.Target, err = d.look(ctx, m)
			return err
		})
	}
	if err != nil {
		s.Err, s.Error, s.Verdict = err, err.Error(), Broken
		if unreachable(err) {
			s.Verdict, s.Skipped = Unreachable, d.skips(err) && m.Err == nil
		}
		return s
	}
	s.Verdict = verdict(s.Found, s.Declared)
	if m.Err != nil {
		s.Err, s.Error = m.Err, m.Err.Error()
	}
	if m.Details != nil {
		s.Key = d.keyState(ctx, m, s.Found)
	}
	s.Notes = notes(m.Name, s.Found)
	if s.Secrets, err = d.secretsOn(ctx, m, s.Found); err != nil {
		s.Notes = append(s.Notes, "its secrets cannot be looked at: "+err.Error())
	}
	return s
}

// meet connects to a machine while it is evaluated, if its address does not
// depend on that. The error is one of the connection; that of the evaluation is
// the machine's.
func (d *Deployer) meet(ctx context.Context, m Machine) (Machine, error) {
	w := &way{d: d, m: m}
	var reached sync.WaitGroup
	var err error
	if m.Address != "" {
		reached.Go(func() {
			err = d.during(ctx, Reach, func() error {
				t, err := d.target(m.Name, m.Class, m.Address)
				if err != nil {
					return err
				}
				return t.Connect(ctx)
			})
		})
	}
	if err := w.evaluate(ctx); err != nil {
		w.m.Err = err
	}
	reached.Wait()
	return w.m, err
}

// secretsOn tells which secrets a machine has. Where they are kept only root may
// look, who we are not on this computer.
func (d *Deployer) secretsOn(ctx context.Context, m Machine, found Facts) (*SecretsState, error) {
	t, err := d.target(m.Name, m.Class, m.Address)
	if err != nil || m.Details == nil || found.System == "" || !found.root && found.os != "" {
		return nil, err
	}
	var paths []string
	for _, g := range m.Details.Generators {
		for _, f := range g.Files {
			if f.Secret && f.Deploy && f.Path != "" && f.NeededFor != "partitioning" {
				paths = append(paths, f.Path)
			}
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	slices.Sort(paths)
	looking, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
	defer cancel()
	held, err := t.Holds(looking, keyPath(m.Details), paths)
	if err != nil {
		return nil, err
	}
	state := &SecretsState{Wanted: len(paths)}
	for _, path := range paths {
		if _, there := held.Files[path]; !there {
			state.Missing = append(state.Missing, path)
		}
	}
	return state, nil
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
func notes(machine string, found Facts) []string {
	var notes []string
	if found.Activating != "" {
		notes = append(notes, fmt.Sprintf("the activation of %s has not succeeded; unless it is under way, `%s` begins anew", found.Activating, updateCommand(machine)))
	}
	switch under, claimed := found.Deploy, found.claimed("it", ""); {
	case under == nil && claimed != nil:
		notes = append(notes, claimed.Error())
	case under == nil:
	case !under.Live:
		notes = append(notes, "the deploy "+under.ID+" was cut off; the next update settles it")
	case under.Stand == Waiting:
		notes = append(notes, under.busy("it").Error()+", and it waits for the confirmation")
	default:
		notes = append(notes, under.busy("it").Error())
	}
	switch {
	case found.Profile == found.System:
	case found.Profile == "":
		notes = append(notes, "its system profile leads nowhere, the next boot brings up something else")
	default:
		notes = append(notes, fmt.Sprintf("it does not run its generation %d, which the next boot brings up", found.Generation))
	}
	if found.RebootNeeded {
		notes = append(notes, "it has to be rebooted to run all of its system")
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
	return absent(err) || denied(err) || isAny(err, ssh.ErrClosed, ssh.ErrConnectionLost, context.DeadlineExceeded)
}

// absent tells that nobody answers at a machine's addresses: it is off, or away.
func absent(err error) bool {
	return isAny(err, ssh.ErrUnreachable, ssh.ErrRefused, ssh.ErrTimeout) && !denied(err)
}

// denied tells that somebody answered who did not let us in, or is not the machine.
func denied(err error) bool {
	var auth *ssh.AuthError
	var key *ssh.HostKeyError
	return errors.As(err, &auth) || errors.As(err, &key)
}

func isAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// skips tells that a machine is skipped for this error of reaching it.
func (d *Deployer) skips(err error) bool { return d.o.SkipUnreachable && absent(err) }

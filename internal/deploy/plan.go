package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// Plan says what a run would do, machine by machine, sorted by wave and name.
type Plan struct {
	Steps []Step `json:"machines"`
}

// Step is what a run would do to one machine.
type Step struct {
	Machine string      `json:"machine"`
	Class   flake.Class `json:"class"`
	Target  string      `json:"target"`
	// Wanted is the declared system; Now is what was found.
	Wanted flake.Derivation `json:"wanted"`
	Now    Facts            `json:"now"`
	// KeyFile is where the machine's age key belongs, and Key what happens to it.
	KeyFile string    `json:"keyFile"`
	Key     KeyAction `json:"key"`
	// Secrets are those that the activation needs in plain, and what happens to
	// them.
	Secrets []UploadedFile `json:"secrets,omitempty"`
	// Build tells that the system is not in the local store yet.
	Build bool `json:"build"`
	// BuildHost is where that is done; empty for here.
	BuildHost string   `json:"buildHost,omitempty"`
	Copy      CopySize `json:"copy"`
	// Goal is what is to become of the system. Activate is false for a machine
	// that is where that leads. Reboot says that it restarts into the system if
	// nothing less brings up all of it, which shows when the system is there.
	Goal     Goal `json:"goal"`
	Activate bool `json:"activate"`
	Reboot   bool `json:"reboot,omitempty"`
	// Turn counts, from 1, the groups of machines that are changed one after
	// another; 0 for a machine that is not changed.
	Wave  int      `json:"wave"`
	Turn  int      `json:"turn,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Skipped says that it was to be skipped if nobody answers there, as is so.
	Skipped bool `json:"skipped,omitempty"`
	// Err is why nothing can be done for this machine, and Phase where that
	// showed.
	Err   error `json:"-"`
	Phase Phase `json:"-"`
	// Error is Err as text, and Next the command that mends it, if there is one.
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`

	// Generation is the one that Wanted is, where a machine goes back to it.
	Generation int `json:"-"`

	health *flake.Health // what has to hold for the system to stay
	key    []byte        // the content of KeyFile, if it is to be written
}

// CopySize is how much is to be copied.
type CopySize struct {
	// Known is false as long as the system is not built, or nobody asked.
	Known bool  `json:"known"`
	Paths int   `json:"paths"`
	Bytes int64 `json:"bytes"`
}

// Unchanged tells that a run would leave the machine alone.
func (s Step) Unchanged() bool { return s.Err == nil && !s.Activate }

// changes tells that a run would change what the machine runs or boots.
func (s Step) changes() bool { return s.Err == nil && s.Activate && s.Goal.Changes() }

// Plan looks at every machine and says what a run would do. What is wrong with
// one machine is in its step. Nothing is changed anywhere.
func (d *Deployer) Plan(ctx context.Context, machines []Machine) *Plan {
	plan := &Plan{Steps: make([]Step, len(machines))}
	turns := newSchedule(machines, d.o.Batches, 0)
	each(machines, func(i int, m Machine) {
		w := &way{d: d, m: m}
		w.plan(ctx)
		s := w.s
		if s.Err == nil && s.Activate {
			s.BuildHost, s.Err = w.buildHost()
			s.setError(Build, s.Err)
		}
		if s.Err == nil && s.Activate {
			s.Err = d.during(ctx, Build, func() error { return d.measure(ctx, &s) })
			s.setError(Build, s.Err)
		}
		s.Next = d.there(s.Machine, s.Next)
		plan.Steps[i] = s
		turns.planned(m, s.changes())
	})
	for i := range plan.Steps {
		if s := &plan.Steps[i]; s.changes() {
			s.Turn = turns.group[s.Machine] + 1
		}
	}
	slices.SortFunc(plan.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), strings.Compare(a.Machine, b.Machine))
	})
	return plan
}

// plan evaluates and reaches the machine and decides what is to be done, for a run
// as for one that is only planned.
func (w *way) plan(ctx context.Context) {
	if err := w.evaluate(ctx); err != nil {
		w.m.Err = err
	}
	w.s = w.d.planMachine(ctx, w.m)
}

// planMachine reaches a machine, if its goal does, and says what is to be done, but
// not how much there is to copy.
func (d *Deployer) planMachine(ctx context.Context, m Machine) Step {
	s := Step{Machine: m.Name, Class: m.Class, Target: m.Address, Goal: d.o.Goal, Wave: m.Wave}
	if m.Err != nil {
		s.setError(Build, m.Err)
		return s
	}
	if m.Details == nil || m.Details.Toplevel == nil {
		s.setError(Build, fmt.Errorf("its system was not evaluated"))
		return s
	}
	if m.Unnamed && m.Details.RequireExplicitUpdate {
		s.Notes = append(s.Notes, "is updated only when it is named")
		return s
	}
	if err := d.o.Goal.check(m.Class); err != nil {
		s.setError(Build, err)
		return s
	}
	s.Wanted, s.health = *m.Details.Toplevel, m.Details.Health
	s.KeyFile = keyPath(m.Details)
	if d.o.Goal == JustBuild {
		s.Activate = true
		return s
	}
	err := d.during(ctx, Reach, func() error {
		d.emit(m.Name, Reach, Started, "")
		facts, address, err := d.look(ctx, m)
		s.Target = address
		s.Now = facts
		if err == nil {
			d.emit(m.Name, Reach, Done, "")
		}
		return err
	})
	if err != nil {
		s.setError(Reach, err)
		s.Skipped = d.skips(err)
		return s
	}
	if err := d.checkPlace(m.Name, s.Now.place()); err != nil {
		s.setError(Reach, err)
		return s
	}
	if under := s.Now.Deploy; under != nil && under.Live {
		s.setError(Reach, under.busy(s.Target))
		return s
	} else if under != nil {
		s.Notes = append(s.Notes, "a deploy was cut off and is settled first")
	}
	if s.Now.Activating != "" {
		s.Notes = append(s.Notes, "the activation of "+s.Now.Activating+" has not succeeded")
	}
	if d.o.Goal.Changes() {
		if err := d.planSecrets(ctx, m, &s); err != nil {
			s.setError(Secrets, err)
			return s
		}
	}
	s.aim(d.o.Reboot)
	if s.changes() {
		s.setError(Reach, s.Now.claimed(s.Target, d.o.Run))
	}
	if s.changes() && s.Goal == Reboot {
		address, _ := ParseAddress(s.Target, "")
		s.setError(Reach, address.restartable())
	}
	if !s.Activate && len(s.Now.FailedUnits) > 0 {
		s.Notes = append(s.Notes, "failed units: "+strings.Join(s.Now.FailedUnits, ", "))
	}
	return s
}

// checkPlace notes where a machine is, and refuses one that is not where the run
// found it before.
func (d *Deployer) checkPlace(machine string, now Place) error {
	if before, known := d.o.Found[machine]; known {
		if err := moved(before, now); err != nil {
			return &fixableError{err: err, next: updateCommand(machine)}
		}
	}
	return d.o.Record.append(entry{Found: &foundAt{Machine: machine, Place: now}}, false)
}

// aim decides whether the machine is activated, and whether it is to restart.
func (s *Step) aim(reboot bool) {
	if reboot && s.Class != flake.Darwin {
		switch halfway := s.Now.System == s.Wanted.OutPath && s.Now.RebootNeeded; {
		case s.Goal == Boot, s.Goal == Switch && halfway:
			s.Goal = Reboot
		case s.Goal == Switch:
			s.Reboot = true
		}
	}
	// A key that was not there or was another one means that the machine's
	// secrets could not be decrypted: activating again puts them in place.
	s.Activate = !s.Goal.reached(s.Now, s.Wanted.OutPath) || len(s.changedFiles()) > 0
}

// planSecrets finds out which secrets the machine has not got, or not as they
// are to be.
func (d *Deployer) planSecrets(ctx context.Context, m Machine, s *Step) error {
	if err := d.checkMade(m); err != nil {
		return err
	}
	key, content, note, err := d.planKey(ctx, m, s.Now)
	if err != nil {
		return err
	}
	s.Key, s.key = key, content
	if note != "" {
		s.Notes = append(s.Notes, note)
	}
	for _, f := range activationFiles(m) {
		if d.o.Secret == nil {
			return fmt.Errorf("its activation needs %s, which this command cannot decrypt", f.value)
		}
		content, err := d.o.Secret(ctx, m.Name, f.value)
		if err != nil {
			return err
		}
		d.secrets.hide(m.Name, content)
		s.Secrets = append(s.Secrets, UploadedFile{Path: f.path, content: content})
	}
	if len(s.Secrets) == 0 {
		return nil
	}
	if err := checkUploadDirectory(m.Details.SecretUploadDirectory); err != nil {
		return err
	}
	t, err := d.target(m.Name, m.Class, m.Address)
	if err != nil {
		return err
	}
	return compareFiles(ctx, t, s.Secrets)
}

// checkMade refuses a machine with secrets that have no value: its system would
// come without them, and take away those that it has.
func (d *Deployer) checkMade(m Machine) error {
	if d.o.Unmade == nil || !hasSecrets(m.Details) {
		return nil
	}
	names, err := d.o.Unmade(m.Name, m.Details)
	if err != nil || len(names) == 0 {
		return err
	}
	return &fixableError{
		err:  fmt.Errorf("it is to have secrets that were never made: %s", strings.Join(names, ", ")),
		next: "fleet vars generate " + m.Name,
	}
}

// secretFiles are the files on the machine whose content nobody is told.
func (s Step) secretFiles() (files []string) {
	if s.KeyFile != "" {
		files = append(files, s.KeyFile)
	}
	for _, f := range s.Secrets {
		files = append(files, f.Path)
	}
	return files
}

// changedFiles are the files to be written, with their content.
func (s Step) changedFiles() (files []UploadedFile) {
	if s.Key == KeyInstall || s.Key == KeyReplace {
		files = append(files, UploadedFile{Path: s.KeyFile, Action: s.Key, content: s.key})
	}
	for _, f := range s.Secrets {
		if f.Action != KeyUnchanged {
			files = append(files, f)
		}
	}
	return files
}

// look connects to a machine and inspects it, within the time for that.
func (d *Deployer) look(ctx context.Context, m Machine) (Facts, string, error) {
	m.Err = nil // a machine is there, whatever its evaluation tells
	t, err := d.connect(ctx, m)
	switch {
	case t == nil:
		return Facts{}, m.Address, err
	case err != nil:
		return Facts{}, t.String(), err
	}
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
	defer cancel()
	keyFile := ""
	if m.Details != nil {
		keyFile = keyPath(m.Details)
	}
	facts, err := t.Inspect(ctx, keyFile, "")
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("something hangs on the machine: it lets us in, but does not tell within %s how it is: %w", d.o.Timeouts.Reach, err)
	}
	return facts, t.String(), err
}

// measure finds out whether the system is built here and, if so, what the
// machine has not got of it.
func (d *Deployer) measure(ctx context.Context, s *Step) error {
	if s.BuildHost != "" {
		s.Build = true // what is there of it is not asked for
		return nil
	}
	closure, err := d.closure(ctx, s.Wanted.OutPath)
	if err != nil {
		return err
	}
	if closure == nil {
		s.Build = true
		return nil
	}
	if s.Goal == JustBuild {
		return nil
	}
	t, err := d.target(s.Machine, s.Class, s.Target)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s.Copy, err = d.toCopy(bounded, t, s.Now, closure)
	if err != nil {
		return fmt.Errorf("ask %s what it has of the system: %w", s.Target, err)
	}
	return nil
}

// closure gives the size of every path that out needs, or nothing if out is not
// in the local store.
func (d *Deployer) closure(ctx context.Context, out string) (closure, error) {
	all, err := d.closureIn(ctx, "", out)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the local store about %s: %w", out, err)
	case len(all) == 0:
		return nil, nil
	}
	return all, nil
}

func (s *Step) setError(phase Phase, err error) {
	if err == nil {
		return
	}
	s.Err, s.Phase, s.Error = err, phase, err.Error()
	s.Next = Result{Machine: s.Machine, Target: s.Target, Phase: phase, Err: err}.nextCommand()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Text says in one line what a run would do to the machine.
func (s Step) Text() string {
	if s.Err != nil {
		return failedText(s.Error, s.Skipped)
	}
	var parts []string
	if !s.Activate {
		parts = append(parts, "unchanged")
	}
	if s.Activate {
		switch {
		case s.BuildHost != "":
			parts = append(parts, "build on "+s.BuildHost)
		case s.Build:
			parts = append(parts, "build")
		case s.Goal == JustBuild:
			parts = append(parts, "nothing to build")
		}
		if s.Goal != JustBuild {
			parts = append(parts, s.Copy.text())
		}
		switch s.Key {
		case KeyInstall:
			parts = append(parts, "install the age key")
		case KeyReplace:
			parts = append(parts, "replace the age key")
		}
		for _, f := range s.Secrets {
			if f.Action != KeyUnchanged {
				parts = append(parts, "put "+f.Path+" in place")
			}
		}
		first := ""
		if s.Now.Profile == "" {
			first = " (first deploy)"
		}
		if does := s.Goal.text(); does != "" {
			parts = append(parts, does+" "+ShortPath(s.Wanted.OutPath)+first)
		}
		if s.Reboot {
			parts = append(parts, "restart into it if nothing less brings up all of it")
		}
	}
	text := strings.Join(parts, ", ")
	if len(s.Notes) > 0 {
		text += " (" + strings.Join(s.Notes, "; ") + ")"
	}
	return text
}

// failedText says in a plan why nothing is done for a machine.
func failedText(reason string, skipped bool) string {
	if skipped {
		return string(Skipped) + ": " + reason
	}
	return string(Failed) + ": " + reason
}

func (c CopySize) text() string {
	switch {
	case !c.Known:
		return "copy"
	case c.Paths == 0:
		return "nothing to copy"
	case c.Paths == 1:
		return fmt.Sprintf("copy 1 path (%s)", bytesText(c.Bytes))
	}
	return fmt.Sprintf("copy %d paths (%s)", c.Paths, bytesText(c.Bytes))
}

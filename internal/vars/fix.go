package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// FixOptions is what [Fleet.Fix] needs to know.
type FixOptions struct {
	// DryRun finds out what would be done and writes nothing.
	DryRun bool
	// Commit makes one git commit of exactly the files that were written.
	Commit bool
	// Whole says that all machines were selected, so that what people keep beside
	// the values is mended too: secrets without a generator, and sops files.
	Whole  bool
	Limits Limits
	Now    func() time.Time
}

// Mend is one secret that is encrypted anew; its value stays. File is empty for
// the private key of a machine, and so is all but the path for a sops file that
// is no value.
type Mend struct {
	ID
	File string `json:"file,omitempty"`
	// Add can read it from now on, Remove not any more.
	Add    []string `json:"add"`
	Remove []string `json:"remove"`
	// Path is the file.
	Path string `json:"path"`
}

func (m Mend) String() string {
	if m.ID == (ID{}) {
		return m.Path
	}
	return Rewrap{ID: m.ID, File: m.File}.String()
}

// Fixed is what [Fleet.Fix] has done or, in a dry run, would do.
type Fixed struct {
	// Recovered says what was done about an interrupted run.
	Recovered string `json:"recovered,omitempty"`
	Mended    []Mend `json:"mended"`
	// Rotate are the values that somebody who was removed knows: the repository's
	// history keeps what they could read.
	Rotate []Rotation `json:"rotate"`
}

// Rotation is a value that should be replaced.
type Rotation struct {
	Value   string   `json:"value"`
	KnownBy []string `json:"knownBy"`
	// Mend is a command, or what else is to be done.
	Mend string `json:"mend"`
}

// Fix gives the secrets of the selected machines, and their private keys, to
// exactly those who should read them. No value changes and no file is removed.
// Where somebody is taken out the data key is a new one. Left alone, because it
// would take a secret from its machine, is what is deployed to a machine whose
// keys are missing or do not belong together; [Fleet.Check] tells of those. Sops
// files that are no values are given to whom their rule in .sops.yaml names. The
// error tells what could not be mended, the report what was nevertheless.
func (f *Fleet) Fix(ctx context.Context, opts FixOptions) (*Fixed, error) {
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	fixed := &Fixed{Mended: []Mend{}, Rotate: []Rotation{}}
	if opts.DryRun {
		x, err := f.fix(ctx, r, fixed, opts)
		if err != nil {
			return nil, err
		}
		return fixed, x.errs.ErrorOrNil()
	}
	t, err := r.Begin(ctx, opts.Limits.withDefaults().Lock, nil)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	fixed.Recovered = t.Recovered
	x, err := f.fix(ctx, r, fixed, opts)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	if err != nil {
		return nil, err
	}
	message := ""
	if opts.Commit {
		message = fixed.message()
	}
	placed, err := t.Apply(x.files, message)
	if err != nil {
		x.errs = multierror.Append(x.errs, err)
	}
	if !placed {
		return nil, x.errs
	}
	return fixed, x.errs.ErrorOrNil()
}

// fixer gathers what is to be written.
type fixer struct {
	*Fleet
	people *readers
	fixed  *Fixed
	now    time.Time
	files  []repository.File
	errs   *multierror.Error
	// locked are secrets that the keys at hand do not open.
	locked    []string
	lockedErr error
}

// fix finds out what is to be written. The errors of single secrets are in the
// fixer; with err nothing may be written.
func (f *Fleet) fix(ctx context.Context, r *repository.Repository, fixed *Fixed, opts FixOptions) (*fixer, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	x := &fixer{Fleet: f, fixed: fixed, now: opts.Now()}
	if x.people, err = f.readers(); err != nil {
		return nil, err
	}
	if err := x.people.complete(); err != nil {
		return nil, err
	}
	if x.people.nobody != nil {
		return nil, x.people.nobody
	}
	// Without this, somebody whose key.json was lost would lock themselves out.
	if own := f.Identities.Recipients(); len(own) > 0 && !slices.ContainsFunc(own, func(key string) bool { return slices.Contains(x.people.admins, key) }) {
		return nil, errors.New("none of your keys is among those of the administrators, so you would take the secrets from yourself: " + secrets.Admission(f.Layout))
	}
	wrong := map[string]bool{} // machines whose keys cannot be trusted
	for _, machine := range sorted(f.Machines) {
		if _, ok := x.people.machines[machine]; !ok {
			wrong[machine] = true
			continue
		}
		if _, err := f.Layout.Read(secrets.KeyRef(machine)); err != nil {
			continue // it brought its own, or Check tells
		}
		if _, err := secrets.MachinePrivateKey(ctx, f.Layout, machine, f.Identities); err != nil && !noKeyAtHand(err) {
			wrong[machine] = true
			continue
		}
		if err := x.mend(ctx, Mend{ID: ID{Machine: machine}}, secrets.KeyRef(machine), func([]string) []secrets.Holder { return nil }); err != nil {
			return nil, err
		}
	}
	for _, id := range g.order {
		if err := x.generator(ctx, g.nodes[id], wrong); err != nil {
			return nil, err
		}
	}
	if opts.Whole {
		if err := x.plain(ctx); err != nil {
			return nil, err
		}
		if err := x.documents(ctx, r); err != nil {
			return nil, err
		}
	}
	if len(x.locked) > 0 {
		x.errs = multierror.Append(x.errs, fmt.Errorf("%d secrets have the wrong readers and cannot be opened with your keys (%s): an administrator who can read them has to run `fleet vars fix`: %w",
			len(x.locked), abbreviate(x.locked), x.lockedErr))
	}
	return x, nil
}

func (x *fixer) generator(ctx context.Context, n *Node, wrong map[string]bool) error {
	for _, file := range sorted(n.Def.Files) {
		ref := n.ref(file)
		untrusted := func(machine string) bool { return wrong[machine] }
		if !ref.Secret || n.Def.Files[file].Deploy && slices.ContainsFunc(n.Machines, untrusted) {
			continue
		}
		exists, err := x.Layout.Exists(ref)
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		if err := x.mend(ctx, Mend{ID: n.ID, File: file}, ref, func(actual []string) []secrets.Holder { return x.people.holders(n, file, actual) }); err != nil {
			return err
		}
	}
	return nil
}

// mend encrypts one secret to exactly the wanted readers. holders are the
// machines among them, given who reads it now.
func (x *fixer) mend(ctx context.Context, m Mend, ref secrets.Ref, holders func(actual []string) []secrets.Holder) (err error) {
	if m.Path, err = x.Layout.Path(ref); err != nil {
		return err
	}
	actual, err := secrets.Readers(x.Layout, ref)
	if err != nil {
		return nil // Check tells
	}
	wanted, err := x.Layout.Wanted(ref, holders(actual))
	if nobody := (*secrets.NoRecipientsError)(nil); errors.As(err, &nobody) {
		return nil // Check tells
	}
	if err != nil {
		return err
	}
	links, err := x.Layout.Links(ref, wanted)
	if err != nil {
		return err
	}
	a := x.people.compare(actual, wanted)
	m.Add, m.Remove = append([]string{}, a.Lacks...), append([]string{}, a.Extra...)
	files := links
	switch {
	case len(m.Remove) > 0:
		files, err = secrets.Revoke(ctx, x.Layout, ref, wanted, x.Identities, x.now)
	case len(m.Add) > 0:
		files, err = secrets.Regrant(ctx, x.Layout, ref, wanted, x.Identities)
	case len(links) == 0:
		return nil
	}
	rotate := x.regenerate(m.ID)
	switch {
	case ref.IsKey():
		rotate = "give the machine a new key, and then new values"
	case ref.IsPlain():
		rotate = "run `fleet vars secrets set " + ref.File + "`"
	}
	x.add(m, files, err, rotate)
	return nil
}

// add takes a secret that was encrypted anew into the work, unless err says that
// it could not be. rotate is how to replace what somebody knows who is removed.
func (x *fixer) add(m Mend, files []repository.File, err error, rotate string) {
	if noKeyAtHand(err) {
		x.locked, x.lockedErr = append(x.locked, m.String()), err
		return
	}
	if err != nil {
		x.errs = multierror.Append(x.errs, err)
		return
	}
	x.files = append(x.files, files...)
	x.fixed.Mended = append(x.fixed.Mended, m)
	if len(m.Remove) > 0 {
		x.fixed.Rotate = append(x.fixed.Rotate, Rotation{Value: m.String(), KnownBy: m.Remove, Mend: rotate})
	}
}

// regenerate is the command that makes new values.
func (x *fixer) regenerate(id ID) string {
	var machines []string
	for _, machine := range sorted(x.Machines) {
		g := x.Machines[machine].Generators[id.Name]
		if machine == id.Machine || id.Shared() && g != nil && g.Share {
			machines = append(machines, machine)
		}
	}
	return "run `" + generateCommand(machines) + " --regenerate " + id.Name + "`"
}

// message is that of the commit.
func (f *Fixed) message() string {
	var removed []string
	for _, m := range f.Mended {
		removed = append(removed, m.Remove...)
	}
	if len(removed) == 0 {
		return "fix(vars): re-encrypt for more readers"
	}
	slices.Sort(removed)
	return "fix(vars): re-encrypt without readers that should not be\n\nThey still know the values as they are:\n" + strings.Join(slices.Compact(removed), "\n") + "\n"
}

package vars

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
)

// What follows answers from the files alone: what a machine declares is not
// known, so nothing is said of what is missing, outdated or not declared any more.

// Lookup finds the value that a machine knows as generator/file among those that
// exist. It is found if exactly one can be meant, and the machine is known by a
// file of its own.
func (f *Fleet) Lookup(machine, name string) (secrets.Ref, bool, error) {
	generator, file, ok := strings.Cut(name, "/")
	if !ok {
		return secrets.Ref{}, false, nil
	}
	known := false
	var found []secrets.Ref
	for _, owner := range []string{machine, ""} {
		for _, secret := range []bool{true, false} {
			ref := secrets.Ref{Machine: owner, Generator: generator, File: file, Secret: secret}
			exists, err := f.Layout.Exists(ref)
			if err != nil {
				return ref, false, err
			}
			if exists {
				found = append(found, ref)
				known = known || owner != ""
			}
		}
	}
	if !known {
		_, err := f.Layout.Machine(machine)
		known = err == nil
	}
	if len(found) != 1 || !known {
		return secrets.Ref{}, false, nil
	}
	return found[0], true, nil
}

// Open gives a value that was found by [Fleet.Lookup].
func (f *Fleet) Open(ctx context.Context, ref secrets.Ref) (*Value, error) {
	data, err := secrets.Open(ctx, f.Layout, ref, f.Identities)
	if err != nil {
		return nil, err
	}
	return &Value{Secret: ref.Secret, Data: data}, nil
}

// ListFiles shows every value that exists of some machines, and the shared ones,
// by machine, generator and file. Whom the layout notes as readers is compared
// with those who are.
func (f *Fleet) ListFiles(ctx context.Context, machines []string) ([]Row, error) {
	refs, people, err := f.filesOf(machines)
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := Row{Machine: ref.Machine, Generator: ref.Generator, File: ref.File, Secret: ref.Secret, Shared: ref.Machine == "", Present: true}
		if row.place, err = f.Layout.Path(ref); err != nil {
			return nil, err
		}
		if ref.Secret {
			a, noted, err := people.auditNoted(ref)
			if err != nil {
				row.Damaged = err.Error()
			}
			row.Lacks, row.Extra, row.Deploy = a.Lacks, a.Extra, len(noted) > 0
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// CheckFiles looks at every encrypted file of some machines, the shared ones and
// the private keys, and with whole at the secrets without a generator: that it is
// one, that those read it whom the layout notes as readers, and that it opens with
// the keys at hand.
func (f *Fleet) CheckFiles(ctx context.Context, machines []string, whole bool) ([]Finding, error) {
	refs, people, err := f.filesOf(machines)
	if err != nil {
		return nil, err
	}
	findings := []Finding{}
	for _, machine := range machines {
		if _, err := f.Layout.Read(secrets.KeyRef(machine)); errors.Is(err, fs.ErrNotExist) {
			continue // it brought its own, or has none
		}
		if _, err := secrets.MachinePrivateKey(ctx, f.Layout, machine, f.Identities); err != nil && !noKeyAtHand(err) {
			findings = append(findings, Finding{Machines: []string{machine}, Problem: err.Error(), Mend: f.restoreKeys(machine)})
			continue
		}
		refs = append(refs, secrets.KeyRef(machine))
	}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		findings = append(findings, f.checkFile(ctx, ref, people)...)
	}
	if whole {
		plain, err := f.auditPlain(ctx)
		if err != nil {
			return nil, err
		}
		findings = append(findings, plain...)
	}
	return findings, nil
}

func (f *Fleet) checkFile(ctx context.Context, ref secrets.Ref, people *readers) (findings []Finding) {
	add := func(problem, mend string) {
		findings = append(findings, Finding{Machines: append([]string{}, machinesOf(ref)...), Value: ref.String(), Problem: problem, Mend: mend})
	}
	if !ref.Secret {
		if sealed, err := f.sealed(ref); err != nil || sealed {
			add("it lies where public values do, and is encrypted", "restore it from git")
		}
		return findings
	}
	a, _, err := people.auditNoted(ref)
	switch {
	case secrets.NotEncrypted(err):
		what := secrets.ErrNotSops
		if errors.Is(err, secrets.ErrNotAge) {
			what = secrets.ErrNotAge
		}
		add(what.Error()+", so it may lie there in plain", "restore it from git; if it is the secret itself, everybody who has the repository knows it")
		return findings
	case err != nil:
		add(err.Error(), "restore it from git")
		return findings
	}
	if len(a.Lacks) > 0 {
		add("it cannot be read by "+strings.Join(a.Lacks, ", "), "run `fleet vars fix`")
	}
	if len(a.Extra) > 0 {
		add("it can also be read by "+strings.Join(a.Extra, ", "), "run `fleet vars fix`, and make a new value if they should not know it")
	}
	if len(a.Links) > 0 && len(a.Lacks)+len(a.Extra) == 0 {
		add("the links beside it do not say who can read it: "+linkNames(a.Links), "run `fleet vars fix`")
	}
	if _, err := secrets.Open(ctx, f.Layout, ref, f.Identities); err != nil && !noKeyAtHand(err) {
		add(err.Error(), "restore it from git")
	}
	return findings
}

// auditNoted compares the readers of a secret with the machines that are noted
// beside it; where the layout notes none, a machine that reads its own secret or
// a shared one is right.
func (r *readers) auditNoted(ref secrets.Ref) (a audit, noted []secrets.Holder, err error) {
	if _, hasLinks := r.fleet.Layout.(*secrets.Clan); hasLinks {
		if noted, err = r.fleet.linkedMachines(ref); err != nil {
			return a, nil, err
		}
		a, err = r.auditRef(ref, func([]string) []secrets.Holder { return noted })
		return a, noted, err
	}
	a, err = r.auditRef(ref, func(actual []string) []secrets.Holder {
		for _, name := range sorted(r.machines) {
			holder := r.machines[name]
			if !ref.IsKey() && (ref.Machine == "" || ref.Machine == name) && overlap(holder.Recipients(), actual) {
				noted = append(noted, holder)
			}
		}
		return noted
	})
	return a, noted, err
}

// filesOf lists the values that exist of some machines, and the shared ones, with
// those who may read them.
func (f *Fleet) filesOf(machines []string) (refs []secrets.Ref, people *readers, err error) {
	if people, err = f.readers(); err != nil {
		return nil, nil, err
	}
	all, err := f.Layout.List()
	for _, ref := range all {
		if ref.Machine == "" || slices.Contains(machines, ref.Machine) {
			refs = append(refs, ref)
		}
	}
	return refs, people, err
}

// Known are the machines that the files tell of: those with a key or a value.
func Known(l secrets.Layout) ([]string, error) {
	names, err := l.Machines()
	if err != nil {
		return nil, err
	}
	refs, err := l.List()
	if err != nil {
		return nil, fmt.Errorf("list the values: %w", err)
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	for _, ref := range refs {
		if ref.Machine != "" {
			known[ref.Machine] = true
		}
	}
	return sorted(known), nil
}

package vars

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// makeKeys makes the keys of machines that have none. A machine whose key cannot
// be made fails with its generators.
func (r *run) makeKeys(ctx context.Context) (files []repository.File, err error) {
	if r.readers, err = r.Fleet.readers(); err != nil {
		return nil, err
	}
	r.keyless = map[string]error{}
	for _, machine := range r.plan.MachineKeys {
		holder, made, err := secrets.EnsureMachineKey(ctx, r.Layout, machine, r.opts.Now())
		if err != nil {
			r.keyless[machine] = err
			continue
		}
		r.readers.add(machine, holder)
		files = append(files, made...)
		r.tell(Event{Kind: KeyMade, ID: ID{Machine: machine}})
	}
	r.Fleet = r.with(files)
	return files, nil
}

// seal turns the results into files, in the order of the plan. The errors are
// those of single generators; with err nothing may be written.
func (r *run) seal(ctx context.Context) (report *Report, files []repository.File, errs *multierror.Error, err error) {
	report = NewReport()
	for _, refusal := range r.plan.Refused {
		errs = multierror.Append(errs, refusal)
	}
	for _, machine := range r.plan.MachineKeys {
		if err := r.keyless[machine]; err != nil {
			errs = multierror.Append(errs, err)
		} else {
			report.MachineKeys = append(report.MachineKeys, machine)
		}
	}
	for _, id := range r.plan.graph.order {
		if err := r.failed[id]; err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	for _, step := range r.plan.Steps {
		if r.failed[step.ID] != nil {
			continue
		}
		if because, ok := r.skipped[step.ID]; ok {
			errs = multierror.Append(errs, fmt.Errorf("generator %s made nothing, because %s failed", step.ID, because))
			continue
		}
		made, err := r.sealValues(ctx, step.ID, r.results[step.ID])
		if err != nil {
			return nil, nil, nil, err
		}
		files = append(files, made...)
		report.Generated = append(report.Generated, step.ID)
	}
	for _, move := range r.plan.Moves {
		if r.failed[move.ID] != nil {
			continue
		}
		made, err := r.sealValues(ctx, move.ID, r.moved[move.ID])
		if err != nil {
			return nil, nil, nil, err
		}
		files = append(files, made...)
		report.Moved = append(report.Moved, move.ID)
		r.tell(Event{Kind: Moved, ID: move.ID})
	}
	for _, id := range r.plan.Accepted {
		if r.failed[id] != nil {
			continue
		}
		report.Accepted = append(report.Accepted, id)
		r.tell(Event{Kind: Accepted, ID: id})
	}
	hashes, err := r.sealHashes(slices.Concat(report.Generated, report.Moved, report.Accepted))
	if err != nil {
		return nil, nil, nil, err
	}
	removed, err := r.removals(report)
	if err != nil {
		return nil, nil, nil, err
	}
	files = slices.Concat(files, hashes, removed)
	var locked []string // what others have to re-encrypt
	var lockedErr error
	for _, rewrap := range r.plan.Rewraps {
		made, err := r.rewrap(ctx, rewrap)
		if noKeyAtHand(err) {
			locked, lockedErr = append(locked, rewrap.String()), err
			continue
		}
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("%s is to be readable by %s as well: %w", rewrap, strings.Join(rewrap.Add, ", "), err))
			continue
		}
		files = append(files, made...)
		report.Rewrapped = append(report.Rewrapped, rewrap)
		r.tell(Event{Kind: Rewrapped, ID: rewrap.ID, File: rewrap.File, Text: "now also for " + strings.Join(rewrap.Add, ", ")})
	}
	if len(locked) > 0 {
		errs = multierror.Append(errs, fmt.Errorf("%d existing secrets lack readers and cannot be opened with your keys (%s): an administrator who can read them has to run `fleet vars generate`: %w",
			len(locked), abbreviate(locked), lockedErr))
	}
	return report, files, errs, nil
}

// abbreviate lists the first of many.
func abbreviate(list []string) string {
	const most = 3
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// sealValues encrypts values of a generator.
func (r *run) sealValues(ctx context.Context, id ID, values map[string][]byte) (files []repository.File, err error) {
	n := r.plan.graph.nodes[id]
	for _, name := range sorted(values) {
		ref := n.ref(name)
		var before []string // of a shared secret that is replaced
		if ref.Secret {
			before, _ = secrets.Readers(r.Layout, ref)
		}
		if err := r.readers.complete(); err != nil && n.Shared() && len(before) > 0 {
			return nil, fmt.Errorf("who else is to read %s is not known: %w", ref, err)
		}
		made, err := secrets.Seal(ctx, r.Layout, ref, values[name], r.readers.holders(n, name, before), r.opts.Now())
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
	}
	return files, nil
}

// sealHashes record that the values of generators fit what they are made from
// today.
func (r *run) sealHashes(ids []ID) (files []repository.File, err error) {
	slices.SortFunc(ids, compareIDs)
	for _, id := range slices.Compact(ids) {
		n := r.plan.graph.nodes[id]
		path, err := r.Layout.HashPath(id.Machine, id.Name)
		if err != nil {
			return nil, err
		}
		hash, err := r.Layout.Hash(id.Machine, id.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case n.Def.ValidationHash != "":
			files = append(files, repository.File{Path: path, Data: []byte(n.Def.ValidationHash)})
		case hash != "": // from when there was a validation, and would be compared with none
			files = append(files, repository.File{Path: path, Gone: true})
		}
	}
	return files, nil
}

// removals are the files that go: where all whose values they were have theirs.
func (r *run) removals(report *Report) (files []repository.File, err error) {
	done := func(id ID) bool { return slices.Contains(report.Generated, id) || slices.Contains(report.Moved, id) }
	for _, removal := range r.plan.Removes {
		if slices.ContainsFunc(removal.after, func(id ID) bool { return !done(id) }) {
			continue
		}
		gone := []repository.File{{Path: removal.Path, Gone: true}}
		if !removal.hash {
			if gone, err = secrets.Remove(r.Layout, removal.ref); err != nil {
				return nil, err
			}
		}
		files = append(files, gone...)
	}
	return files, nil
}

// rewrap adds readers to an existing secret and takes none away.
func (r *run) rewrap(ctx context.Context, w Rewrap) ([]repository.File, error) {
	ref, machines := secrets.KeyRef(w.Machine), []secrets.Holder(nil)
	if w.File != "" {
		n := r.plan.graph.nodes[w.ID]
		ref, machines = n.ref(w.File), r.readers.holders(n, w.File, nil)
	}
	wanted, err := r.Layout.Wanted(ref, machines)
	if err != nil {
		return nil, err
	}
	actual, err := secrets.Readers(r.Layout, ref)
	if err != nil {
		return nil, err
	}
	return secrets.Regrant(ctx, r.Layout, ref, append(actual, wanted...), r.Identities)
}

// message is that of the commit.
func (r *Report) message() string {
	var what []string
	for _, id := range r.Generated {
		what = append(what, id.place()+"/"+id.Name)
	}
	var moved []string
	for _, id := range r.Moved {
		moved = append(moved, id.place()+"/"+id.Name)
	}
	switch {
	case len(what) == 0 && len(moved) > 0:
		return "chore(vars): move " + abbreviate(moved)
	case len(what) == 0 && len(r.MachineKeys) > 0:
		return "feat(vars): add keys for " + strings.Join(r.MachineKeys, ", ")
	case len(what) == 0 && len(r.Accepted) > 0:
		return "chore(vars): take values as they are"
	case len(what) == 0:
		return "chore(vars): re-encrypt for more readers"
	case len(what) <= 2:
		return "feat(vars): generate " + strings.Join(what, ", ")
	}
	return fmt.Sprintf("feat(vars): generate %d values\n\n%s\n", len(what), strings.Join(what, "\n"))
}

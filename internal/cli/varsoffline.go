package cli

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars"
)

// offline is what the files of a fleet tell without evaluating its flake.
type offline struct {
	*session
	values *vars.Fleet
	// names are the selected machines, among those that the files know.
	names []string
	// whole says that these are all machines.
	whole bool
}

// openFiles opens the values of a folder, without evaluating anything. Only where
// there are no values yet the flake is asked how it keeps them, if it can tell.
func (a *App) openFiles(ctx context.Context) (*session, *vars.Fleet, func(), error) {
	_, dir, err := findFlake(a, a.config.Flake)
	if err != nil {
		return nil, nil, nil, err
	}
	if dir == "" {
		return nil, nil, nil, errors.New("this flake is a remote reference: work on a checkout of it (--flake FOLDER)")
	}
	s := &session{App: a, fleet: &flake.Fleet{Dir: dir}}
	if kind, err := secrets.Detect(dir); err == nil && kind == "" {
		if loaded, err := a.open(ctx); err == nil {
			s = loaded
		}
	}
	values, done, err := s.values(ctx, nil)
	return s, values, done, err
}

// fromFiles answers for the selected machines, all if none is named. Their classes
// and tags are not known.
func (a *App) fromFiles(ctx context.Context, args []string, all bool, answer func(*offline, context.Context) error) error {
	s, values, done, err := a.openFiles(ctx)
	if err != nil {
		return err
	}
	defer done()
	names, err := vars.Known(values.Layout)
	if err != nil {
		return err
	}
	inv := &flake.Inventory{Machines: map[string]flake.Machine{}}
	for _, name := range names {
		inv.Machines[name] = flake.Machine{Name: name}
	}
	whole := len(names)
	if names, err = selected(inv, args, all || len(args) == 0); err != nil {
		return err
	}
	values.Inventory = inv
	a.Streams.Say("From the files alone: what the flake declares was not evaluated.")
	return answer(&offline{session: s, values: values, names: names, whole: len(names) == whole}, ctx)
}

func (o *offline) list(ctx context.Context) error {
	rows, err := o.values.ListFiles(ctx, o.names)
	if err != nil {
		return err
	}
	return o.showRows(ctx, o.values, rows, &flake.Evaluated{})
}

func (o *offline) check(ctx context.Context) error {
	findings, err := o.values.CheckFiles(ctx, o.names, o.whole)
	if err != nil {
		return err
	}
	audit := &vars.Audit{Findings: findings, Notes: []string{}}
	if o.config.JSON {
		err = o.writeJSON(checked{audit, nil, []string{}})
	} else {
		err = o.showAudit(audit, len(o.names))
	}
	if err == nil && len(findings) > 0 {
		return exit(exitFailed)
	}
	return err
}

// fileValue is a value that can be told from the files alone; nil if the flake
// has to be asked.
func (a *App) fileValue(ctx context.Context, machine, name string) (*vars.Value, error) {
	_, values, done, err := a.openFiles(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ref, found, err := values.Lookup(machine, name)
	if err != nil || !found {
		return nil, err
	}
	if a.config.Verbose {
		a.Streams.Say("%s is told from its file, without evaluating the flake", ref)
	}
	return values.Open(ctx, ref)
}

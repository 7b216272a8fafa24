package cli

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) varsExportCmd() *cobra.Command {
	var all, dryRun bool
	cmd := &cobra.Command{
		Use:   "export [SELECTION...] FOLDER",
		Short: "Write values out, in plain",
		Long: `Write the values of the selected machines (all machines, if none is named) into
a new folder, decrypted, exactly their bytes: MACHINE/GENERATOR/FILE, and
shared/GENERATOR/FILE, in the layout of clan just as clan vars export does. Only
you can enter the folder; remove it when it has served. fleet vars import reads
such a folder.`,
		Example: `  fleet vars export /dev/shm/values
  fleet vars export cinnabar /dev/shm/cinnabar`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			offers, _ := a.completeMachines(cmd, args, prefix)
			return offers, cobra.ShellCompDirectiveDefault // or a folder
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return a.varsExport(cmd.Context(), args[:last], all, args[last], dryRun)
		},
	}
	allFlag(cmd, &all)
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would be written and write nothing")
	return cmd
}

// exported is the result of `vars export`.
type exported struct {
	Folder string `json:"folder"`
	*vars.Export
}

func (a *App) varsExport(ctx context.Context, args []string, all bool, folder string, dryRun bool) error {
	s, err := a.evaluate(ctx, args, all || len(args) == 0, false)
	if err != nil {
		return err
	}
	s.sayFailed(s.evaluated)
	if len(s.evaluated.Details) == 0 {
		return exit(exitFailed)
	}
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	export, err := values.Export(ctx)
	if err != nil {
		return err
	}
	if len(export.Missing) > 0 {
		a.Streams.Warn("without a value, and left out: %s", strings.Join(export.Missing, ", "))
	}
	if len(export.Outdated) > 0 {
		a.Streams.Warn("made from other input than today's, which an import does not know: %s", strings.Join(export.Outdated, ", "))
	}
	folder = a.path(folder)
	if dryRun {
		a.Streams.Say("Would write %s into %s.", plural(len(export.Values), "value"), folder)
	} else {
		if err := export.Write(ctx, folder); err != nil {
			return err
		}
		a.Streams.Say("Wrote %s into %s.", plural(len(export.Values), "value"), folder)
		a.Streams.Warn("%s holds secrets that nothing encrypts: remove it when it has served", folder)
	}
	if a.config.JSON {
		return cmp.Or(a.writeJSON(exported{folder, export}), s.exitFor(s.evaluated))
	}
	return s.exitFor(s.evaluated)
}

func (a *App) varsImportCmd() *cobra.Command {
	var o giveOptions
	var replace bool
	cmd := &cobra.Command{
		Use:   "import FOLDER",
		Short: "Take over values from a folder",
		Long: `Take over values that lie in plain in a folder, as MACHINE/GENERATOR/FILE and
shared/GENERATOR/FILE or as clan vars export writes them, exactly their bytes. Each must be declared. All are taken
over at once or, where one is wrong, none. A value that exists and is another is
replaced only with --replace.`,
		Example: `  fleet vars import /dev/shm/values --dry-run
  fleet vars import /dev/shm/values
  fleet vars import /dev/shm/values --replace`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.varsImport(cmd.Context(), args[0], replace, o)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "replace values that exist and are others")
	return cmd
}

func (a *App) varsImport(ctx context.Context, folder string, replace bool, o giveOptions) error {
	given, err := vars.ReadExport(ctx, a.path(folder), vars.Limits{})
	if err != nil {
		return fmt.Errorf("cannot read the values: %w", err)
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	evaluated, err := s.detailsFor(ctx, given)
	if err != nil {
		return err
	}
	values, done, err := s.values(ctx, evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	plan, err := values.PlanGive(ctx, given)
	if err != nil {
		return err
	}
	if existing := plan.Replaces(); len(existing) > 0 && !replace && !o.dryRun {
		a.Streams.Say("%s", strings.TrimRight(plan.String(), "\n"))
		return fmt.Errorf("%d of the values exist already and differ, so nothing was changed: %s; --replace replaces them", len(existing), strings.Join(existing, ", "))
	}
	return s.give(ctx, values, plan, o)
}

// detailsFor evaluates the machines that values are given for: all for shared
// ones. Of these, only such that were named must evaluate.
func (s *session) detailsFor(ctx context.Context, given vars.Given) (*flake.Evaluated, error) {
	named, shared := given.Machines()
	names := named
	if shared {
		names = inventory.All(&s.fleet.Inventory)
		for _, name := range named {
			if _, known := s.fleet.Machines[name]; !known {
				names = append(names, name)
			}
		}
	}
	evaluated, err := s.loader.Details(ctx, s.fleet, names, false)
	if err != nil {
		return nil, err
	}
	for _, name := range named {
		if failed := evaluated.Failed[name]; failed != nil {
			return nil, fmt.Errorf("%s: %w", name, failed)
		}
	}
	return evaluated, nil
}

// path is where a name given on the command line lies.
func (a *App) path(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(a.Dir, name)
}

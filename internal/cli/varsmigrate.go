package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

type migrateOptions struct {
	to             string
	dryRun, commit bool
}

func (a *App) varsMigrateCmd() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate --to native|clan",
		Short: "Move all values into another layout of files",
		Long: `Move all values, keys and hashes between the two layouts in which a fleet can
keep them: native, below sops/, and clan, below vars/, as clan-core's own program
reads and writes them. Every file keeps its bytes and its readers; nothing is
decrypted, so no key is needed. The evaluation finds out by itself where they lie.`,
		Example: `  fleet vars migrate --to clan --dry-run
  fleet vars migrate --to native --commit`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.varsMigrate(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.to, "to", "", "move to this `LAYOUT`: native or clan")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be moved and move nothing")
	cmd.Flags().BoolVar(&o.commit, "commit", false, "make one git commit of what was moved")
	_ = cmd.MarkFlagRequired("to")
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{string(secrets.KindNative), string(secrets.KindClan)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// migrated is the result of `vars migrate`.
type migrated struct {
	From secrets.Kind `json:"from,omitempty"`
	To   secrets.Kind `json:"to"`
	*vars.Migration
}

func (a *App) varsMigrate(ctx context.Context, o migrateOptions) error {
	to := secrets.Kind(o.to)
	if to != secrets.KindNative && to != secrets.KindClan {
		return &codeError{exitUsage, fmt.Errorf("there is no layout %q: --to takes native or clan", o.to)}
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	if s.fleet.Flavour == flake.Clan && to == secrets.KindNative {
		return errors.New("this flake is made with clan-core, which reads values in its own layout only: make it with fleet's lib.mkFleet first")
	}
	dir, err := s.valuesDir()
	if err != nil {
		return err
	}
	if recovered, err := (&vars.Fleet{Root: dir, Env: s.Environ}).Recover(ctx, vars.Limits{}); err != nil {
		return err
	} else if recovered != "" {
		a.Streams.Say("%s", recovered)
	}
	from, err := secrets.Detect(dir)
	if err != nil {
		return err
	}
	if from == secrets.KindAge {
		return errors.New("the secrets lie in clan's store age, which is moved in plain: `fleet vars export FOLDER`, then set vars.settings.secretStore in the flake, then `fleet vars import FOLDER`")
	}
	result := migrated{From: from, To: to, Migration: &vars.Migration{Stay: []string{}, Notes: []string{}, Paths: []string{}}}
	if from != "" && from != to {
		if result.Migration, err = s.migrate(ctx, dir, from, to, o); err != nil {
			return err
		}
	}
	if a.config.JSON {
		return a.writeJSON(result)
	}
	return a.showMigrated(result, o.dryRun)
}

func (s *session) migrate(ctx context.Context, dir string, from, to secrets.Kind, o migrateOptions) (*vars.Migration, error) {
	before, err := secrets.OpenLayout(dir, from, secrets.ClanOptions{})
	if err != nil {
		return nil, err
	}
	defer before.Close()
	after, err := secrets.OpenLayout(dir, to, secrets.ClanOptions{})
	if err != nil {
		return nil, err
	}
	defer after.Close()
	f := &vars.Fleet{Root: dir, Layout: before, Env: s.Environ}
	return f.Migrate(ctx, after, vars.MigrateOptions{DryRun: o.dryRun, Commit: o.commit, Now: s.Now})
}

func (a *App) showMigrated(m migrated, dryRun bool) error {
	switch {
	case m.From == "":
		a.Streams.Say("There are no values to move.")
		return nil
	case m.From == m.To:
		a.Streams.Say("The values are in the layout %s already.", m.To)
		return nil
	}
	moved := "Moved"
	if dryRun {
		moved = "Would move"
	}
	a.Streams.Say("%s %s, %s and the validation of %s from the layout %s to %s.", moved, plural(m.Values, "value"),
		plural(m.MachineKeys, "machine key"), plural(m.Hashes, "generator"), m.From, m.To)
	for _, name := range m.Stay {
		a.Streams.Say("%s stays where it is: the layout %s has no place for it.", name, m.To)
	}
	for _, note := range m.Notes {
		a.Streams.Warn("%s", note)
	}
	if !dryRun {
		a.Streams.Say("Next: `fleet vars check`")
	}
	return nil
}

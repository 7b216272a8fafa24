package cli

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

func (a *App) machinesDiffCmd() *cobra.Command {
	var c choice
	var place buildPlace
	cmd := &cobra.Command{
		Use:   "diff [SELECTION...]",
		Short: "Show what an update would change on machines",
		Long: `Show what an update would change on the selected machines: packages with their
versions and sizes, the size of the whole, what is to be copied, which units or
jobs would be stopped, restarted, reloaded and started, and whether a reboot is
needed. The declared systems are built for that, where an update would build them:
here, unless a machine or a flag says otherwise. Nothing else is changed on any
machine.

Which units are touched follows from their files. What an activation script asks
for beside that is known only when it runs.`,
		Example: `  fleet machines diff cinnabar
  fleet machines diff stibnite --build-host rosegold
  fleet machines diff tag:server --json | jq '.[] | {machine, restart: .units.restart}'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := a.progress()
			return a.onEvaluating(cmd.Context(), p, c.of(args), func(ctx context.Context, s *session, machines []deploy.Machine) error {
				return s.showDiffs(ctx, p, place, machines)
			})
		},
	}
	c.flags(cmd)
	place.flags(cmd, a)
	return cmd
}

func (s *session) showDiffs(ctx context.Context, p *progress, place buildPlace, machines []deploy.Machine) error {
	host, err := s.buildHost(ctx, place.buildHost)
	if err != nil {
		p.clear()
		return err
	}
	d := deploy.New(s.updating(p, deploy.Settings{BuildHost: host, BuildOnTarget: place.buildOnTarget}))
	defer d.Close()
	list := d.Diff(ctx, machines)
	p.clear()
	summary := &deploy.Summary{}
	for _, diff := range list {
		summary.Results = append(summary.Results, diff.Result)
	}
	if s.config.JSON {
		return errors.Join(s.writeJSON(list), exit(summary.ExitCode()))
	}
	table := term.Table{Header: []string{"MACHINE", "CHANGE", "WHAT", "FROM → TO", "SIZE"}, Paint: s.paintChange}
	for _, diff := range list {
		for _, row := range diff.Rows() {
			table.Add(diff.Machine, string(row.Change), row.What, row.FromTo, row.Size)
		}
	}
	if len(table.Rows) > 0 {
		if err := s.Streams.Table(&table); err != nil {
			return err
		}
	}
	s.sayProblems(summary)
	return exit(summary.ExitCode())
}

// paintChange colours what kind of change a row is about.
func (s *session) paintChange(column int, cell string) string {
	if column != 1 {
		return cell
	}
	switch deploy.Change(cell) {
	case deploy.Added, deploy.Starts:
		return s.Streams.PaintOut(term.Green, cell)
	case deploy.Removed, deploy.Stops, deploy.Reboots:
		return s.Streams.PaintOut(term.Red, cell)
	case deploy.Changed, deploy.Restarts, deploy.Reloads:
		return s.Streams.PaintOut(term.Yellow, cell)
	}
	return cell
}

package cli

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

func (a *App) machinesBuildCmd() *cobra.Command {
	var how deploy.Building
	var all bool
	cmd := &cobra.Command{
		Use:   "build [SELECTION...]",
		Short: "Build the systems of machines",
		Long: `Build the systems of the selected machines, here, and print where they are. No
machine is reached, and one whose system does not build leaves the others alone.
Where an update would build them, be it on a build host, they are built by
` + "`fleet machines update --goal build`" + `.`,
		Example: `  fleet machines build cinnabar
  fleet machines build --all --out-link result
  fleet machines build tag:server --dry-run
  fleet machines build --all --eval-only --json | jq -r 'select(.result) | .result.machines[].drv'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			if how.OutLink != "" {
				how.OutLink = a.path(how.OutLink)
			}
			p := a.work()
			return a.onEvaluating(cmd.Context(), p, choice{args: args, all: all}, func(ctx context.Context, s *session, machines []deploy.Machine) error {
				return s.build(ctx, p, machines, how)
			})
		},
	}
	flags := cmd.Flags()
	allFlag(cmd, &all)
	flags.StringVar(&how.OutLink, "out-link", "", "make links to the systems that keep them from the garbage collector: `PATH`-MACHINE, such as result-cinnabar")
	flags.BoolVar(&how.EvalOnly, "eval-only", false, "only evaluate, and print the derivations")
	flags.BoolVarP(&how.DryRun, "dry-run", "n", false, "print what would be built and fetched and do nothing")
	cmd.MarkFlagsMutuallyExclusive("out-link", "eval-only", "dry-run")
	return cmd
}

// builds is the end of machines build --json.
type builds struct {
	Machines []deploy.Built `json:"machines"`
}

func (s *session) build(ctx context.Context, p *progress, machines []deploy.Machine, how deploy.Building) error {
	list := s.deployer(p).BuildEach(ctx, machines, how)
	p.clear()
	summary := &deploy.Summary{}
	for _, b := range list {
		summary.Results = append(summary.Results, b.Result)
	}
	if s.config.JSON {
		return errors.Join(s.result(builds{list}), exit(summary.ExitCode()))
	}
	table := buildTable(list, how)
	if len(table.Rows) > 0 {
		if err := s.Streams.Table(&table); err != nil {
			return err
		}
	}
	s.sayProblems(summary)
	return exit(summary.ExitCode())
}

func buildTable(list []deploy.Built, how deploy.Building) term.Table {
	table := term.Table{Header: []string{"MACHINE", "SYSTEM"}}
	switch {
	case how.EvalOnly:
		table.Header = []string{"MACHINE", "SYSTEM", "DERIVATION"}
	case how.DryRun:
		table.Header = []string{"MACHINE", "SYSTEM", "WOULD"}
	case how.OutLink != "":
		table.Header = []string{"MACHINE", "SYSTEM", "LINK"}
	}
	for _, b := range list {
		row := []string{b.Machine, b.Out, b.Drv}
		switch {
		case b.Err != nil:
			continue
		case how.DryRun:
			row[2] = b.WouldText()
		case !how.EvalOnly:
			row[2] = b.Link
		}
		table.Add(row[:len(table.Header)]...)
	}
	return table
}

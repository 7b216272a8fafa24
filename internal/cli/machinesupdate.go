package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

// updateOptions are the flags of machines update.
type updateOptions struct {
	all, dryRun    bool
	confirm, limit time.Duration
}

func (a *App) machinesUpdateCmd() *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update [SELECTION...]",
		Short: "Bring machines to the system that the flake declares",
		Long: `Bring the selected machines to the system that the flake declares: build it,
copy it, put the machine's age key in place, activate and confirm it. Machines go
their ways side by side; one that fails leaves the others alone. A machine that is
up to date is left as it is.

A machine goes back to the system that it came from, by itself, unless the new
one is confirmed over a new connection: when its activation fails, when units fail
that had not failed before, when it cannot be reached any more, when nobody is
there to confirm, and when it is restarted meanwhile.`,
		Example: `  fleet machines update cinnabar
  fleet machines update --all --dry-run
  fleet machines update 'tag:server & !cinnabar'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onMachines(cmd.Context(), args, o.all, func(ctx context.Context, s *session, machines []deploy.Machine) error {
				if o.dryRun {
					return s.showPlan(ctx, machines)
				}
				return s.update(ctx, machines, o)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "all machines")
	flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done and do nothing")
	flags.DurationVar(&o.confirm, "confirm-timeout", 2*time.Minute, "how long a machine waits for the confirmation of its new system before it goes back")
	flags.DurationVar(&o.limit, "activation-timeout", 30*time.Minute, "how long an activation may take before the machine goes back")
	return cmd
}

// set hands the flags on.
func (o updateOptions) set(d *deploy.Options) {
	d.Timeouts.Confirm, d.Timeouts.Activate = o.confirm, o.limit
}

func (s *session) showPlan(ctx context.Context, machines []deploy.Machine) error {
	p := s.progress()
	d := s.deployer(p)
	defer d.Close()
	plan := d.Plan(ctx, machines)
	p.clear()
	code := exitDone
	table := term.Table{Header: []string{"MACHINE", "TARGET", "WOULD"}}
	for _, step := range plan.Steps {
		table.Add(step.Machine, step.Target, step.Text())
		if step.Err != nil {
			code = exitSomeFailed
		}
	}
	if !slices.ContainsFunc(plan.Steps, func(s deploy.Step) bool { return s.Err == nil }) {
		code = exitFailed
	}
	if s.config.JSON {
		return errors.Join(s.writeJSON(plan), exit(code))
	}
	return errors.Join(table.Write(s.Streams.Out), exit(code))
}

func (s *session) update(ctx context.Context, machines []deploy.Machine, o updateOptions) error {
	p := s.work()
	d := s.deployer(p, o.set)
	defer d.Close()
	summary := d.Update(ctx, machines)
	p.clear()
	if s.config.JSON {
		return errors.Join(s.result(summary), exit(summary.ExitCode()))
	}
	table := term.Table{Header: []string{"MACHINE", "TARGET", "STATE", "SYSTEM"}}
	for _, r := range summary.Results {
		table.Add(r.Machine, r.Target, string(r.State), shortPath(r.Out))
	}
	if err := table.Write(s.Streams.Out); err != nil {
		return err
	}
	s.sayProblems(summary)
	s.Streams.Say("%s", summary.Text())
	return exit(summary.ExitCode())
}

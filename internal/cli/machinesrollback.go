package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

// rollbackOptions are the flags of machines rollback.
type rollbackOptions struct {
	choice
	dryRun              bool
	to                  int
	confirm, activation time.Duration
}

func (a *App) machinesRollbackCmd() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [SELECTION...]",
		Short: "Take machines back to an earlier generation",
		Long: `Take the selected machines back to the generation before their current one, or
one machine to the generation that --to names, later ones too. Which generation
that is, is said for each machine before anything is changed.

What runs and what boots are both changed, in the way of an update: where the
machine cannot be reached on that generation, or units fail on it, it returns to
where it was by itself. No generation is removed.`,
		Example: `  fleet machines rollback cinnabar
  fleet machines rollback cinnabar --to 41
  fleet machines rollback tag:server --dry-run`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case cmd.Flags().Changed("to") && o.to < 1:
				return usageError(cmd, errors.New("--to is the number of a generation, such as 41"))
			case o.confirm < time.Second || o.activation < time.Second:
				return usageError(cmd, errors.New("--confirm-timeout and --activation-timeout must be a second at least"))
			}
			return a.onTargets(cmd.Context(), o.of(args), func(ctx context.Context, s *session, machines []deploy.Machine) error {
				if o.to > 0 && len(machines) > 1 {
					return usageError(cmd, fmt.Errorf("--to %d is for one machine, for each has generations of its own; %d are selected", o.to, len(machines)))
				}
				return s.rollback(ctx, machines, o)
			})
		},
	}
	flags := cmd.Flags()
	o.choice.flags(cmd)
	flags.IntVar(&o.to, "to", 0, "the generation to go to")
	flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print which generations machines would go to and do nothing")
	flags.DurationVar(&o.confirm, "confirm-timeout", 2*time.Minute, "how long a machine waits for the confirmation before it returns")
	flags.DurationVar(&o.activation, "activation-timeout", 30*time.Minute, "how long an activation may take before the machine returns")
	return cmd
}

func (s *session) rollback(ctx context.Context, machines []deploy.Machine, o rollbackOptions) error {
	var names []string
	for _, m := range machines {
		names = append(names, m.Name)
	}
	waves, err := inventory.Waves(&s.fleet.Inventory, names, inventory.Order{Last: s.thisMachine(names)})
	if err != nil {
		return err
	}
	for i, m := range machines {
		machines[i].Wave = waves[m.Name]
	}
	p := s.work()
	if o.dryRun {
		p = s.progress()
	}
	options := s.updating(p, deploy.Settings{Goal: deploy.Switch, Rollback: true, Timeouts: deploy.Timeouts{Confirm: o.confirm, Activate: o.activation}})
	if o.dryRun {
		d := deploy.New(options)
		defer d.Close()
		plan := d.PlanRollback(ctx, machines, o.to)
		p.clear()
		return s.showRollbackPlan(plan)
	}
	if err := s.record(&options, deploy.Header{Machines: names, Waves: waves}); err != nil {
		p.clear()
		return err
	}
	return s.runUpdate(ctx, p, options, func(d *deploy.Deployer) *deploy.Summary {
		plan := d.PlanRollback(ctx, machines, o.to)
		for _, step := range plan.Steps {
			if step.Err == nil {
				s.Streams.Say("%s: it is to %s", step.Machine, step.Text())
			}
		}
		return d.Rollback(ctx, plan)
	})
}

func (s *session) showRollbackPlan(plan *deploy.RollbackPlan) error {
	failed, skipped := 0, 0
	table := term.Table{Header: []string{"MACHINE", "TARGET", "FROM", "TO", "AGE", "VERSION", "WOULD"}}
	for _, step := range plan.Steps {
		switch {
		case step.Skipped:
			skipped++
		case step.Err != nil:
			failed++
		}
		row := []string{step.Machine, step.Target, "–", "–", "–", "–", step.Text()}
		if n := step.From.Number; n > 0 {
			row[2] = strconv.Itoa(n)
		}
		if to := step.To; to.Number > 0 {
			row = slices.Replace(row, 3, 6, strconv.Itoa(to.Number), ago(s.Now(), to.Created), orDash(to.Version))
		}
		table.Add(row...)
	}
	code := exitOf(failed, len(plan.Steps)-skipped)
	if s.config.JSON {
		return errors.Join(s.writeJSON(plan), exit(code))
	}
	return errors.Join(s.Streams.Table(&table), exit(code))
}

package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/crs58/fleet/internal/verify"
	"github.com/spf13/cobra"
)

func (a *App) verifyCmd() *cobra.Command {
	var all, noBuild bool
	cmd := &cobra.Command{
		Use:   "verify [SELECTION...]",
		Short: "Check that every machine evaluates, has its values and builds",
		Long: `Check the whole fleet, or the selected machines: that each one evaluates, that
each of its values exists, opens with your key where you have it and is readable
by exactly the right people, and that its system builds, where it can be built
here. It changes nothing.`,
		Example: `  fleet verify
  fleet verify tag:workstation --no-build
  fleet verify --json`,
		GroupID:           groupFleet,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openFor(cmd.Context(), args, all || len(args) == 0, true)
			if err != nil {
				return err
			}
			names, err := s.selection(args, all || len(args) == 0)
			if err != nil {
				return err
			}
			return s.verify(cmd.Context(), names, noBuild)
		},
	}
	allFlag(cmd, &all)
	cmd.Flags().BoolVar(&noBuild, "no-build", false, "do not build the systems")
	return cmd
}

func (s *session) verify(ctx context.Context, names []string, noBuild bool) error {
	stages := verify.Stages()
	if noBuild {
		stages = stages[:len(stages)-1]
	}
	step := 0
	o := verify.Options{
		Inventory: &s.fleet.Inventory,
		Machines:  names,
		Evaluate: func(ctx context.Context, names []string) (*flake.Evaluated, error) {
			return s.loader.Details(ctx, s.fleet, names, true)
		},
		Check: func(ctx context.Context, details map[string]*flake.Details) ([]vars.Finding, error) {
			values, done, err := s.values(ctx, details)
			if err != nil {
				return nil, err
			}
			defer done()
			return values.Check(ctx)
		},
		OnStage: func(stage verify.Stage) {
			step++
			if !s.config.JSON {
				fmt.Fprintln(s.Streams.Out, s.Streams.PaintOut(term.Bold, fmt.Sprintf("Step %d/%d: %s", step, len(stages), stage)))
			}
		},
		OnCheck: s.showCheck,
	}
	if !noBuild {
		o.Build = func(ctx context.Context, machines []deploy.Machine) *deploy.Summary {
			p := s.progress()
			defer p.clear()
			return s.deployer(p).Build(ctx, machines)
		}
	}
	report, err := verify.Run(ctx, o)
	if err != nil {
		return err
	}
	if s.config.JSON {
		if err := s.result(report); err != nil {
			return err
		}
	}
	failed, left := report.Count(verify.Fail), report.Count(verify.Left)
	switch {
	case failed > 0:
		them := "them"
		if failed == 1 {
			them = "it"
		}
		s.Streams.Say("%s. Mend %s and run `fleet verify` again.", plural(failed, "finding"), them)
		return exit(exitFailed)
	case left > 0:
		s.Streams.Say("All that can be checked here is right; %s left to another platform. Next: `fleet machines update --all`", plural(left, "build"))
	default:
		s.Streams.Say("Everything is right. Next: `fleet machines update --all`")
	}
	return nil
}

// showCheck prints a check.
func (s *session) showCheck(c verify.Check) {
	if s.config.JSON {
		s.event(c)
		return
	}
	mark := map[verify.Status]string{
		verify.Pass: s.Streams.PaintOut(term.Green, "✓"),
		verify.Fail: s.Streams.PaintOut(term.Red, "✗"),
		verify.Left: s.Streams.PaintOut(term.Yellow, "–"),
	}[c.Status]
	line := fmt.Sprintf("  %s %s", mark, cmp.Or(c.Machine, s.fleet.Meta.Name, "the fleet"))
	if c.Text != "" {
		line += ": " + c.Text
	}
	if c.Mend != "" {
		line += "; " + c.Mend
	}
	fmt.Fprintln(s.Streams.Out, line)
}

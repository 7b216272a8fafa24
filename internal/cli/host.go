package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/host"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) hostCmd() *cobra.Command {
	cmd := parent("host", "Follow one machine from its first deploy on",
		"Follow one machine from its first deploy on.",
		"  fleet host bootstrap argentum\n  fleet host status argentum")
	cmd.AddCommand(a.hostBootstrapCmd(), a.hostStatusCmd())
	return cmd
}

func (a *App) hostBootstrapCmd() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "bootstrap MACHINE",
		Short: "Bring a new machine to its first system",
		Long: `Bring a new machine to its first system, in steps: preflight, vars (missing
values are made), gate (every secret exists, opens, and is for this machine),
build, copy, secrets (the machine's age key), activate, health. It can be stopped
anywhere and repeated; what is done is not done again.`,
		Example: `  fleet host bootstrap argentum
  fleet host bootstrap cinnabar --target-host root@192.0.2.7`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeMachineNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onHost(cmd.Context(), c.of(args), (*session).bootstrap)
		},
	}
	c.targetHostFlag(cmd)
	return cmd
}

func (a *App) hostStatusCmd() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:               "status MACHINE",
		Short:             "Show how far a machine has come",
		Long:              "Show how far a machine has come, as a checklist: it evaluates, has its values, is reachable, has its age key, runs what the flake declares. Nothing is changed.",
		Example:           "  fleet host status argentum",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeMachineNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onHost(cmd.Context(), c.of(args), (*session).hostStatus)
		},
	}
	c.targetHostFlag(cmd)
	return cmd
}

func (a *App) onHost(ctx context.Context, c choice, do func(*session, context.Context, host.Machine) error) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	names, err := s.choose(c)
	if err != nil {
		return err
	}
	if len(names) > 1 {
		return &codeError{exitUsage, fmt.Errorf("%q selects %d machines; name one", c.args[0], len(names))}
	}
	machines, err := s.targets(ctx, names)
	if err != nil {
		return err
	}
	m := machines[0]
	return do(s, ctx, host.Machine{Name: m.Name, Class: m.Class, Address: m.Address})
}

// hostOptions are what package host works with; p shows the making of values.
func (s *session) hostOptions(p *progress) host.Options {
	return host.Options{
		Deploy: s.deployOptions(),
		Evaluate: func(ctx context.Context, machine string, toplevel bool) (*flake.Details, error) {
			return s.reevaluate(ctx, machine, toplevel)
		},
		Generate: func(ctx context.Context, machine string, details *flake.Details) (string, error) {
			return s.generateMissing(ctx, p, machine, details)
		},
		Check: func(ctx context.Context, machine string, details *flake.Details) ([]vars.Finding, error) {
			values, done, err := s.values(ctx, map[string]*flake.Details{machine: details})
			if err != nil {
				return nil, err
			}
			defer done()
			return values.Check(ctx)
		},
	}
}

// reevaluate reads the flake anew: a bootstrap writes values that the
// evaluation of the system sees. What did not change comes from the cache.
func (s *session) reevaluate(ctx context.Context, machine string, toplevel bool) (*flake.Details, error) {
	fleet, err := s.loader.Load(ctx, s.fleet.Ref, s.fleet.Dir)
	if err != nil {
		return nil, err
	}
	s.fleet = fleet
	evaluated, err := s.loader.Details(ctx, fleet, []string{machine}, toplevel)
	if err != nil {
		return nil, err
	}
	if failed := evaluated.Failed[machine]; failed != nil {
		return nil, failed
	}
	s.known = evaluated.Details
	return evaluated.Details[machine], nil
}

// generateMissing makes what a machine lacks and says what it made.
func (s *session) generateMissing(ctx context.Context, p *progress, machine string, details *flake.Details) (string, error) {
	values, done, err := s.values(ctx, map[string]*flake.Details{machine: details})
	if err != nil {
		return "", err
	}
	defer done()
	if _, err := values.Recover(ctx, vars.Limits{}); err != nil {
		return "", err
	}
	plan, err := values.Plan(ctx, vars.Request{})
	if err != nil {
		return "", err
	}
	if plan.Empty() {
		return "every value is there", nil
	}
	report, err := s.runVars(ctx, p, values, plan, generateOptions{})
	if err != nil {
		return "", err
	}
	return "made " + plural(len(report.Generated), "generator") + ", wrote " + plural(len(report.Paths), "file"), nil
}

func (s *session) bootstrap(ctx context.Context, m host.Machine) error {
	p := s.work()
	o := s.hostOptions(p)
	o.OnEvent = p.bootstrap
	report := host.Bootstrap(ctx, o, m)
	p.stop()
	if s.config.JSON {
		return errors.Join(s.result(report), exit(report.ExitCode()))
	}
	if report.Err != nil {
		problem := fmt.Errorf("%s: %w", m.Name, report.Err)
		if unevaluated := (*flake.MachineError)(nil); errors.As(report.Err, &unevaluated) {
			problem = unevaluated // which names the machine itself
		}
		s.Streams.Problem(problem)
		if report.Next != "" {
			s.Streams.Say("  next: %s", report.Next)
		}
		return exit(report.ExitCode())
	}
	_, err := fmt.Fprintf(s.Streams.Out, "%s runs %s\n", m.Name, report.Out)
	return err
}

func (s *session) hostStatus(ctx context.Context, m host.Machine) error {
	items, err := host.Status(ctx, s.hostOptions(s.progress()), m)
	if err != nil {
		return err
	}
	code := exitDone
	if slices.ContainsFunc(items, func(i host.Item) bool { return i.State != host.OK }) {
		code = exitFailed
	}
	if s.config.JSON {
		return errors.Join(s.writeJSON(items), exit(code))
	}
	table := term.Table{Header: []string{"CHECK", "STATE", "MESSAGE", "NEXT"}}
	for _, i := range items {
		table.Add(i.Name, string(i.State), i.Message, i.Next)
	}
	return errors.Join(s.Streams.Table(&table), exit(code))
}

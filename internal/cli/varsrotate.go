package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) varsRotateCmd() *cobra.Command {
	var o generateOptions
	cmd := &cobra.Command{
		Use:   "rotate SELECTION... GENERATOR[,GENERATOR...]",
		Short: "Replace values by new ones",
		Long: `Make the values of the named generators anew and replace what exists; nothing
else is touched. Afterwards it says which machines and units the new values come
to with the next update. What others know a machine by or trust (ssh keys, keys
of certificate authorities, zerotier identities and the like) asks once more.`,
		Example: `  fleet vars rotate cinnabar wifi
  fleet vars rotate tag:server metrics,backup --dry-run
  fleet vars rotate --all ssh-host-key --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeGenerators,
		RunE: func(cmd *cobra.Command, args []string) error {
			machines := args[:len(args)-1]
			o.Regenerate = strings.Split(args[len(args)-1], ",")
			o.Generators = o.Regenerate
			return a.varsRotate(cmd.Context(), machines, o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *App) varsRotate(ctx context.Context, args []string, o generateOptions) error {
	return a.generate(ctx, args, o, func(g generation) error { return g.rotate(ctx, o) })
}

func (g generation) rotate(ctx context.Context, o generateOptions) (err error) {
	g.Streams.Say("%s", strings.TrimRight(g.plan.String(), "\n"))
	if err := g.confirmIdentities(ctx, g.plan.Identities(), o.yes); err != nil {
		return err
	}
	everyone := g.evaluated // more machines than the selected where they share
	if slices.ContainsFunc(g.plan.Steps, func(step vars.Step) bool { return step.Shared() }) {
		if everyone, err = g.allDetails(ctx); err != nil {
			return err
		}
	}
	p := g.work()
	made, err := g.runVars(ctx, p, g.values, g.plan, o)
	p.stop()
	if made == nil {
		return err
	}
	fresh := g.plan.Made(made)
	reach := vars.Reached(everyone.Details, fresh)
	notes, staleErr := g.values.Stale(everyone.Details, fresh)
	if staleErr != nil {
		g.Streams.Warn("what else was made from the old values is not known: %s", staleErr)
	}
	g.Streams.Say("Made the values of %s anew, wrote %s.", plural(len(made.Generated), "generator"), plural(len(made.Paths), "file"))
	for _, note := range notes {
		g.Streams.Warn("%s", note)
	}
	g.sayReach(reach)
	if g.config.JSON {
		err = cmp.Or(err, g.result(rotated{generated{made, texts(g.evaluated, err)}, append([]string{}, notes...), reach, updateCommand(reach)}))
	}
	return cmp.Or(err, g.exitFor(g.evaluated))
}

// confirmIdentities asks once more before others stop knowing a machine.
func (a *App) confirmIdentities(ctx context.Context, identities []string, yes bool) error {
	if len(identities) == 0 || yes {
		return nil
	}
	what := strings.Join(identities, "; ")
	if !a.Streams.CanPrompt() {
		return fmt.Errorf("this replaces what others know or trust (%s), so nothing was changed: say --yes if it is to be", what)
	}
	ok, err := a.Streams.Confirm(ctx, "This replaces what others know or trust ("+what+"). Go on?")
	if err == nil && !ok {
		err = errors.New("nothing was changed")
	}
	return err
}

// rotated is the result of `vars rotate`.
type rotated struct {
	generated
	// Notes are what others keep that was made from the old values.
	Notes []string     `json:"notes"`
	Reach []vars.Reach `json:"reach"`
	// Next is the command that brings the values there; "" if there is nobody.
	Next string `json:"next"`
}

// completeGenerators offers machines and, after the first, generators as well.
func (a *App) completeGenerators(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	offers, directive := a.completeMachines(cmd, args, prefix)
	return append(offers, a.generatorsOf(cmd, args)...), directive
}

// completeGeneratorList offers the generators of the machines that are typed
// already, after the commas before as well.
func (a *App) completeGeneratorList(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return completeList(a.generatorsOf(cmd, args), prefix)
}

// generatorsOf are those of the machines that are typed already.
func (a *App) generatorsOf(cmd *cobra.Command, args []string) []string {
	all, _ := cmd.Flags().GetBool("all")
	if len(args) == 0 && !all {
		return nil
	}
	s := a.quietly(cmd)
	if s == nil {
		return nil
	}
	names, err := s.selection(args, all)
	if err != nil {
		return nil
	}
	evaluated, err := s.loader.Details(cmd.Context(), s.fleet, names, false)
	if err != nil {
		return nil
	}
	return generatorNames(evaluated)
}

func generatorNames(evaluated *flake.Evaluated) (names []string) {
	for _, details := range evaluated.Details {
		for name := range details.Generators {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

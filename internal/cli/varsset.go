package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

// maxValue is how large a value may be, as for those that scripts make.
const maxValue = 16 << 20

type giveOptions struct {
	dryRun, commit bool
}

func (o *giveOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print the plan and do nothing")
	cmd.Flags().BoolVar(&o.commit, "commit", false, "make one git commit of what was written")
}

func (a *App) varsSetCmd() *cobra.Command {
	var o giveOptions
	cmd := &cobra.Command{
		Use:   "set MACHINE GENERATOR/FILE",
		Short: "Give a value yourself",
		Long: `Give a declared value yourself instead of having it generated. It is read from
standard input, exactly its bytes; on a terminal it is asked for, twice and
without showing it. The other files of the generator stay as they are, and so do
values that were made from the old one: these are named.`,
		Example: `  fleet vars set cinnabar wifi/password
  fleet vars set cinnabar tls/key < key.pem
  fleet vars set cinnabar tls/key --dry-run < key.pem`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeMachines(cmd, args, prefix)
			}
			return a.completeValues(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.varsSet(cmd.Context(), args[0], args[1], o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *App) varsSet(ctx context.Context, machine, name string, o giveOptions) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	evaluated, err := s.loader.Details(ctx, s.fleet, []string{machine}, false)
	if err != nil {
		return err
	}
	if failed := evaluated.Failed[machine]; failed != nil {
		return fmt.Errorf("%s: %w", machine, failed)
	}
	values, done, err := s.values(ctx, evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	ref, err := values.Find(machine, name)
	if err != nil {
		return err
	}
	if ref.Machine == "" {
		// Who else shares it is to read it too. One that does not evaluate keeps
		// what it can read.
		if evaluated, err = s.allDetails(ctx); err != nil {
			return err
		}
		values.Machines = evaluated.Details
	}
	data, err := a.readValue(ctx, ref.String())
	if err != nil {
		return err
	}
	given := vars.Given{{Machine: ref.Machine, Name: ref.Generator}: {ref.File: data}}
	plan, err := values.PlanGive(ctx, given)
	if err != nil {
		return err
	}
	return s.give(ctx, values, plan, o)
}

// readValue reads a value from a person or from standard input.
func (a *App) readValue(ctx context.Context, name string) ([]byte, error) {
	if a.Streams.CanPrompt() {
		answer, err := a.Streams.Ask(ctx, term.Question{Label: "the value of " + name, Hidden: true})
		if err == nil && answer == "" {
			a.Streams.Warn("nothing was typed: the value of %s is empty", name)
		}
		return []byte(answer), err
	}
	if a.Streams.InTTY {
		return nil, fmt.Errorf("what is typed here would be shown, because standard error is not a terminal, or CI or TERM=dumb is set: send the value of %s through a pipe", name)
	}
	type content struct {
		data []byte
		err  error
	}
	read := make(chan content, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(a.Streams.In, maxValue+1))
		read <- content{data, err}
	}()
	select {
	case c := <-read:
		if c.err == nil && len(c.data) > maxValue {
			return nil, fmt.Errorf("the value of %s is larger than %d MiB", name, maxValue>>20)
		}
		if c.err == nil && len(c.data) == 0 {
			a.Streams.Warn("standard input was empty: so is the value of %s", name)
		}
		return c.data, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// give shows a plan of given values and does it.
func (s *session) give(ctx context.Context, values *vars.Fleet, plan *vars.GivePlan, o giveOptions) error {
	if o.dryRun {
		if s.config.JSON {
			return s.writeJSON(givenValues{GiveReport: &vars.GiveReport{GivePlan: plan, Paths: []string{}}, Reach: []vars.Reach{}})
		}
		_, err := io.WriteString(s.Streams.Out, plan.String())
		return err
	}
	report := &vars.GiveReport{GivePlan: plan, Paths: []string{}}
	reach := []vars.Reach{}
	var err error
	if plan.Empty() {
		s.Streams.Say("Nothing to do: the repository holds just what was given.")
	} else {
		s.Streams.Say("%s", strings.TrimRight(plan.String(), "\n"))
		made, giveErr := values.Give(ctx, plan, vars.GiveOptions{Commit: o.commit, Now: s.Now})
		if err = giveErr; made == nil {
			return err
		}
		report, reach = made, vars.Reached(values.Machines, plan.Given())
		s.Streams.Say("Set %s, wrote %s.", plural(plan.Count(vars.GiftAdds)+plan.Count(vars.GiftReplaces), "value"), plural(len(report.Paths), "file"))
		s.sayReach(reach)
	}
	if s.config.JSON {
		if jsonErr := s.writeJSON(givenValues{report, reach}); err == nil {
			err = jsonErr
		}
	}
	return err
}

// givenValues is the result of `vars set` and `vars import`.
type givenValues struct {
	*vars.GiveReport
	Reach []vars.Reach `json:"reach"`
}

// sayReach tells where new values come to, and how.
func (s *session) sayReach(reach []vars.Reach) {
	if len(reach) == 0 {
		return
	}
	s.Streams.Say("The next update brings this to")
	for _, r := range reach {
		line := "  " + r.Machine
		if len(r.Units) > 0 {
			line += ", for " + strings.Join(r.Units, ", ")
		}
		s.Streams.Say("%s", line)
	}
	s.Streams.Say("Next: `%s`", updateCommand(reach))
}

// updateCommand is what a person types then.
func updateCommand(reach []vars.Reach) string {
	if len(reach) == 0 {
		return ""
	}
	command := "fleet machines update"
	for _, r := range reach {
		command += " " + r.Machine
	}
	return command
}

// allDetails evaluates every machine, for what is shared by more than those that
// were named.
func (s *session) allDetails(ctx context.Context) (*flake.Evaluated, error) {
	return s.loader.Details(ctx, s.fleet, inventory.All(&s.fleet.Inventory), false)
}

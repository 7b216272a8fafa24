package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

func (a *App) machinesGenerationsCmd() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "generations [SELECTION...]",
		Short: "List the generations that machines can go back to",
		Long: `List the generations of the selected machines' system profiles: their number, age
and version, the commit they were made from where they tell it, and which of them
is the current one, runs, and was booted. Nothing is changed.`,
		Example: `  fleet machines generations cinnabar
  fleet machines generations --all --json | jq '.[] | {machine, n: (.generations | length)}'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onTargets(cmd.Context(), c.of(args), func(ctx context.Context, s *session, machines []deploy.Machine) error {
				return s.showGenerations(ctx, machines)
			})
		},
	}
	c.flags(cmd)
	return cmd
}

func (s *session) showGenerations(ctx context.Context, machines []deploy.Machine) error {
	p := s.progress()
	d := s.deployer(p)
	defer d.Close()
	list := d.Generations(ctx, machines)
	p.clear()
	summary := &deploy.Summary{}
	table := term.Table{Header: []string{"MACHINE", "GENERATION", "AGE", "VERSION", "REVISION", "SYSTEM", "NOW"}}
	for _, m := range list {
		summary.Results = append(summary.Results, m.Result)
		for _, g := range m.List {
			table.Add(m.Machine, strconv.Itoa(g.Number), ago(s.Now(), g.Created), orDash(g.Version), shortRevision(g.Revision), deploy.ShortPath(g.System), standing(g))
		}
	}
	if s.config.JSON {
		return errors.Join(s.writeJSON(list), exit(summary.ExitCode()))
	}
	if len(table.Rows) > 0 {
		if err := s.Streams.Table(&table); err != nil {
			return err
		}
	}
	for _, m := range list {
		switch {
		case m.Err != nil:
		case len(m.List) == 0:
			s.Streams.Say("%s: it has no generations, nothing was ever deployed to it", m.Machine)
		case !m.Running():
			s.Streams.Say("%s: it runs %s, which is none of its generations", m.Machine, m.System)
		}
	}
	s.sayProblems(summary)
	return exit(summary.ExitCode())
}

// standing says what a machine does with a generation.
func standing(g deploy.Generation) string {
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{{g.Current, "current"}, {g.Running, "running"}, {g.Booted, "booted"}, {g.Gone, "gone"}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// shortRevision is a commit as git shortens it; a tree that was not clean stays
// recognisable.
func shortRevision(revision string) string {
	const enough = 9
	commit, dirty := strings.CutSuffix(revision, "-dirty")
	commit = orDash(commit[:min(enough, len(commit))])
	if dirty {
		return commit + "-dirty"
	}
	return commit
}

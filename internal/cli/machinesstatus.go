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

func (a *App) machinesStatusCmd() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "status [SELECTION...]",
		Short: "Show what machines run and what they should run",
		Long: `Show what the selected machines run (all, if none is named) beside what the flake
declares: up to date, different, never deployed or unreachable; their generation
and its age, whether their age key and secrets are in place, and what else there is
to know: a deploy under way or waiting for its confirmation, a system that is not
the one that boots, a reboot that is needed, failed units. Nothing is changed.`,
		Example: `  fleet machines status
  fleet machines status tag:server --json
  fleet machines status --json | jq -r '.[] | select(.found.rebootNeeded) | .machine'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := a.progress()
			chosen := c.of(args)
			chosen.all = c.all || len(args) == 0
			return a.onEvaluating(cmd.Context(), p, chosen, func(ctx context.Context, s *session, machines []deploy.Machine) error {
				return s.showStatus(ctx, p, machines)
			})
		},
	}
	c.flags(cmd)
	return cmd
}

func (s *session) showStatus(ctx context.Context, p *progress, machines []deploy.Machine) error {
	d := s.deployer(p)
	defer d.Close()
	statuses := d.Status(ctx, machines)
	p.clear()
	failed, skipped := 0, 0
	table := term.Table{
		Header: []string{"MACHINE", "TARGET", "STATUS", "GENERATION", "AGE", "RUNS", "DECLARED", "SECRETS", "NOTES"},
		Paint:  s.paintVerdict,
	}
	for _, st := range statuses {
		notes := st.Notes
		switch {
		case st.Skipped:
			skipped++
		case st.Err != nil:
			failed++
		}
		if st.Err != nil {
			notes = append(notes, st.Error)
		}
		generation := "–"
		if st.Found.Generation > 0 {
			generation = strconv.Itoa(st.Found.Generation)
		}
		table.Add(st.Machine, st.Target, string(st.Verdict), generation, ago(s.Now(), st.Found.Created),
			deploy.ShortPath(st.Found.System), deploy.ShortPath(st.Declared), st.SecretsText(), strings.Join(notes, "; "))
	}
	code := exitOf(failed, len(statuses)-skipped)
	if s.config.JSON {
		return errors.Join(s.writeJSON(statuses), exit(code))
	}
	return errors.Join(s.Streams.Table(&table), exit(code))
}

// paintVerdict colours the status of a machine where standard output is a terminal.
func (s *session) paintVerdict(column int, cell string) string {
	if column != 2 {
		return cell
	}
	switch deploy.Verdict(cell) {
	case deploy.UpToDate:
		return s.Streams.PaintOut(term.Green, cell)
	case deploy.Unreachable, deploy.Broken:
		return s.Streams.PaintOut(term.Red, cell)
	}
	return s.Streams.PaintOut(term.Yellow, cell)
}

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (a *App) machinesRunsCmd() *cobra.Command {
	var page string
	cmd := &cobra.Command{
		Use:   "runs [RUN]",
		Short: "List past deploys, or show one: what took how long, and what failed",
		Long: `List the recorded runs of ` + "`fleet machines update` and `rollback`" + `, the latest first.

Of one run, whose name may be shortened, show how long each machine was at which
step, why it failed, and where the log of that is. --html writes the run as a page
with a bar for each machine and step.

Runs are kept for a month, the last 20 longer, never more than 200.`,
		Example: `  fleet machines runs
  fleet machines runs 20260102-1504
  fleet machines runs 20260102-1504 --html run.html
  fleet machines runs --json | jq -r '.[] | select(.outcome == "failed").id'`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeRuns(cmd, args, begun)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				return a.showRun(args[0], page)
			case page != "":
				return &codeError{exitUsage, errors.New("--html draws one run: name it")}
			}
			return a.listRuns()
		},
	}
	cmd.Flags().StringVar(&page, "html", "", "write the run as a page into this `FILE`")
	_ = cmd.MarkFlagFilename("html", "html")
	return cmd
}

func (a *App) listRuns() error {
	runs, err := deploy.ListRuns(a.runs())
	if err != nil {
		return err
	}
	if a.config.JSON {
		return a.writeJSON(runs)
	}
	if len(runs) == 0 {
		a.Streams.Say("There are no runs yet; `fleet machines update` makes one")
		return nil
	}
	table := term.Table{Header: []string{"RUN", "AGE", "BY", "GOAL", "MACHINES", "OUTCOME"}, Paint: func(column int, cell string) string {
		if column != 5 {
			return cell
		}
		for _, r := range runs {
			if outcomeText(r) == cell {
				return a.Streams.PaintOut(outcomeColor(r.Outcome), cell)
			}
		}
		return cell
	}}
	for i, r := range runs {
		table.Add(shortRun(runs, i), ago(a.Now(), r.Started), orDash(r.Owner), orDash(string(r.Goal)), machinesText(r.Machines), outcomeText(r))
	}
	return a.Streams.Table(&table)
}

// machinesText names one machine, and counts several.
func machinesText(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strconv.Itoa(len(names))
}

// shortRun is a beginning of a run's name that no other run has: its time to the
// second, mostly.
func shortRun(runs []deploy.Run, i int) string {
	const enough = len("20260102-150405")
	short := runs[i].ID[:min(enough, len(runs[i].ID))]
	for j, r := range runs {
		if j != i && strings.HasPrefix(r.ID, short) {
			return runs[i].ID
		}
	}
	return short
}

// outcomeText says how a run ended, or that it has not.
func outcomeText(r deploy.Run) string {
	switch r.Outcome {
	case deploy.RunUnderWay, deploy.RunCutOff, deploy.RunUnreadable:
		return string(r.Outcome) + ": " + r.Text
	}
	return r.Text
}

func outcomeColor(o deploy.Outcome) term.Color {
	switch o {
	case deploy.RunDone:
		return term.Green
	case deploy.RunFailed, deploy.RunUnreadable:
		return term.Red
	}
	return term.Yellow
}

func (a *App) showRun(name, page string) error {
	history, err := deploy.ReadRecord(a.runs(), name)
	if err != nil {
		return runError(err)
	}
	timeline := history.Timeline(a.Now())
	if page != "" {
		if err := a.writePage(timeline, page); err != nil {
			return err
		}
	}
	if a.config.JSON {
		return a.writeJSON(timeline)
	}
	if page != "" {
		a.Streams.Say("Wrote %s", page)
		return nil
	}
	a.Streams.Say("%s of %s by %s at %s, took %s", timeline.Goal, plural(len(timeline.Machines), "machine"), timeline.Owner,
		timeline.Started.Format(time.DateTime), deploy.Took(timeline.Length()))
	if err := a.Streams.Table(runTable(a, timeline)); err != nil {
		return err
	}
	summary := history.Summary()
	a.sayProblems(summary)
	if !history.Settings.Rollback && timeline.Outcome != deploy.RunUnderWay {
		a.sayResumption(summary)
	}
	a.Streams.Say("%s", outcomeText(timeline.Run))
	return nil
}

// runTable has a column for each phase of the run.
func runTable(a *App, t *deploy.Timeline) *term.Table {
	table := &term.Table{Header: []string{"MACHINE", "STATE", "TIME"}, Paint: a.paintState(1)}
	phases := t.Phases()
	for _, p := range phases {
		table.Header = append(table.Header, strings.ToUpper(string(p)))
	}
	for _, w := range t.Ways {
		row := []string{w.Machine, string(w.State), deploy.Took(w.Length())}
		for _, p := range phases {
			cell := "–"
			if in := w.In(p); in > 0 {
				cell = deploy.Took(in)
			}
			row = append(row, cell)
		}
		table.Add(row...)
	}
	return table
}

// canDraw refuses a page, if one is wished for, that could not be written when its
// run has ended.
func (a *App) canDraw(page string) error {
	if page == "" {
		return nil
	}
	file := a.path(page)
	info, err := os.Stat(file)
	switch {
	case err == nil && info.IsDir():
		err = syscall.EISDIR
	case err == nil:
		err = unix.Access(file, unix.W_OK)
	case errors.Is(err, fs.ErrNotExist):
		err = unix.Access(filepath.Dir(file), unix.W_OK)
	}
	if err != nil {
		return fmt.Errorf("--html: %s could not be written: %w", page, err)
	}
	return nil
}

// drawRun writes the page of a run that has ended, if one is wished for; how the
// run ended does not depend on it.
func (a *App) drawRun(run, page string) {
	if page == "" {
		return
	}
	history, err := deploy.ReadRecord(a.runs(), run)
	if err == nil {
		err = a.writePage(history.Timeline(a.Now()), page)
	}
	if err != nil {
		a.Streams.Warn("%v", err)
		return
	}
	a.Streams.Say("Wrote %s", page)
}

func (a *App) writePage(t *deploy.Timeline, file string) error {
	var page bytes.Buffer
	if err := t.WritePage(&page); err != nil {
		return err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.Dir, file)
	}
	if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the page of the run %s: %w", t.ID, err)
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// resumesAlone refuses flags that would change a run that is gone on with: it has
// its settings in its record. Only how many machines may fail can be said anew.
func resumesAlone(cmd *cobra.Command) (err error) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && !slices.Contains([]string{"resume", "html", "dry-run", "max-failures"}, f.Name) {
			err = &codeError{exitUsage, fmt.Errorf("--resume goes on with its run as it was begun: leave out --%s", f.Name)}
		}
	})
	return err
}

// resume goes on with a recorded run, with what its flake declared then.
func (a *App) resume(ctx context.Context, o updateOptions, moreMayFail bool) error {
	settings, err := o.settings()
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.planResume(ctx, o.resume)
	}
	record, history, err := deploy.ResumeRecord(a.runs(), o.resume, a.Now())
	if err != nil {
		return runError(err)
	}
	if moreMayFail {
		history.Settings.StopAfter = settings.StopAfter
	}
	s, err := a.openRun(ctx, history)
	if err != nil {
		return errors.Join(err, record.Close(a.Now()))
	}
	p := s.work()
	options := s.updating(p, history.Settings)
	options.Run, options.Record, options.Found = record.ID, record, history.Untouched()
	machines, wait := s.unfinished(ctx, history)
	defer wait()
	unfinished := history.Unfinished()
	for _, name := range history.Machines {
		if !slices.Contains(unfinished, name) { // of which there is nothing to know
			machines = append(machines, deploy.Machine{Name: name, Wave: history.Waves[name]})
		}
	}
	defer s.drawRun(options.Run, o.page)
	return s.runUpdate(ctx, p, options, func(d *deploy.Deployer) *deploy.Summary { return d.Resume(ctx, history, machines) })
}

// planResume says what going on with a run would do.
func (a *App) planResume(ctx context.Context, run string) error {
	history, err := deploy.ReadRecord(a.runs(), run)
	if err == nil && history.Settings.Rollback {
		err = fmt.Errorf("go on with the run %s: %w", history.ID, deploy.ErrRollback)
	}
	if err != nil {
		return runError(err)
	}
	s, err := a.openRun(ctx, history)
	if err != nil {
		return err
	}
	p := s.progress()
	options := s.updating(p, history.Settings)
	options.Found = history.Untouched()
	machines, wait := s.unfinished(ctx, history)
	defer wait()
	machines = slices.DeleteFunc(machines, func(m deploy.Machine) bool {
		joins := history.Joins(m.Name)
		if joins {
			s.Streams.Say("%s: the activation that the run has begun there is joined first", m.Name)
		}
		return joins
	})
	return s.showPlan(ctx, p, options, machines)
}

// unfinished are the machines of a run for which there is something to do. One
// that was not evaluated, whose derivation is gone, or that failed before anything was
// copied to it is evaluated now: it may have been mended.
func (s *session) unfinished(ctx context.Context, history *deploy.History) (machines []deploy.Machine, wait func()) {
	var unknown []string
	for _, name := range history.Unfinished() {
		m, known := history.Evaluated[name]
		r := history.Results[name]
		failed := r.State == deploy.Failed && (r.Phase == deploy.Build || r.Phase == deploy.Secrets)
		if known && m.Buildable() && !failed {
			machines = append(machines, m)
		} else {
			unknown = append(unknown, name)
		}
	}
	evaluated, wait := s.evaluating(ctx, unknown, history.Waves, history.Unnamed)
	return append(machines, evaluated...), wait
}

// sayResumption says how to go on with a run, if that does something.
func (a *App) sayResumption(summary *deploy.Summary) {
	if command := summary.Resumption(); command != "" {
		a.Streams.Say("Go on with `%s`", command)
	}
}

// completeResumable offers the runs that can be gone on with.
func (a *App) completeResumable(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	names, directive := a.completeRuns(cmd, args, begun)
	return slices.DeleteFunc(names, func(name string) bool {
		history, err := deploy.ReadRecord(a.runs(), name)
		return err == nil && history.Settings.Rollback
	}), directive
}

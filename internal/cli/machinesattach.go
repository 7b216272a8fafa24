package cli

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/spf13/cobra"
)

func (a *App) machinesAttachCmd() *cobra.Command {
	var c choice
	cmd := &cobra.Command{
		Use:   "attach RUN | SELECTION...",
		Short: "Join a deploy that is under way",
		Long: `Join what is under way, on the selected machines or on those of a run, whoever
began it: follow the activation, confirm the new system if it is up, and tell how
it ended. Of a machine where nothing is under way it tells how its last activation
ended. Nothing new is begun; ` + "`fleet machines update --resume RUN`" + ` does that.`,
		Example: `  fleet machines attach cinnabar
  fleet machines attach 20260102-150405-000-0123abcd`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(cmd, errors.New("nothing is named: name a run, or machines"))
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			machines, directive := a.completeMachines(cmd, args, begun)
			return append(machines, deploy.Runs(a.runs())...), directive
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.attach(cmd.Context(), c.of(args)) },
	}
	c.targetHostFlag(cmd)
	return cmd
}

func (a *App) attach(ctx context.Context, c choice) error {
	var s *session
	var names []string
	var record *deploy.Record
	var history *deploy.History
	var err error
	if len(c.args) == 1 {
		record, history, err = deploy.AttachRecord(a.runs(), c.args[0], a.Now())
	}
	var missing *deploy.NoRecordError
	switch {
	case history != nil:
		if s, err = a.openRun(ctx, history); err == nil {
			names = history.Machines
		}
	case err == nil || errors.As(err, &missing) && len(missing.Several) == 0:
		if s, err = a.open(ctx); err == nil {
			names, err = s.choose(c)
		}
	}
	if err != nil {
		return errors.Join(runError(err), record.Close(a.Now()))
	}
	machines, err := s.targets(ctx, names)
	if err != nil {
		return errors.Join(err, record.Close(a.Now()))
	}
	p := s.work()
	options := s.updating(p, deploy.Settings{})
	if record != nil {
		options.Run, options.Record, options.Settings = record.ID, record, history.Settings
	}
	return s.runUpdate(ctx, p, options, func(d *deploy.Deployer) *deploy.Summary { return d.Attach(ctx, machines, history) })
}

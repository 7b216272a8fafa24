package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

// updateOptions are the flags of machines update.
type updateOptions struct {
	choice
	buildPlace
	dryRun, reboot            bool
	goal, batch, resume, page string
	maxFailures, limitEval    int
	roleOrder                 []string
	limits                    deploy.Limits
	confirm, activation       time.Duration
}

func goals() []string {
	return []string{
		string(deploy.Switch), string(deploy.Boot), string(deploy.Test), string(deploy.DryActivate), string(deploy.Push), string(deploy.JustBuild),
	}
}

func (a *App) machinesUpdateCmd() *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update [SELECTION...]",
		Short: "Bring machines to the system that the flake declares",
		Long: `Bring the selected machines to the system that the flake declares: build it,
copy it, put the machine's secrets in place, activate and confirm it. Machines go
their ways side by side; one that fails leaves the others alone. A machine that is
up to date is left as it is.

A machine goes back to the system that it came from, by itself, unless the new
one is confirmed over a new connection: when its activation fails, when units fail
that had not failed before, when it cannot be reached any more, when nobody is
there to confirm, and when it is restarted meanwhile.

Building and copying do not wait; changes come in waves: machines with a role that
others need first, NixOS before darwin, this computer last. --role-order says
another order, --batch cuts waves into smaller groups.

A machine that cannot be reached has failed; with --skip-unreachable one at which
nobody answers is skipped, which is no failure, and --resume tries it again.

Each run is recorded. What a run whose driver died has begun can be followed with
` + "`fleet machines attach RUN`" + `; --resume goes on with the whole of it, with what
the flake declared then. It leaves machines alone that somebody else has changed
since, and counts the failures of before: --max-failures lets more machines fail.`,
		Example: `  fleet machines update cinnabar
  fleet machines update --all --dry-run
  fleet machines update --all --batch 1,25%,rest --max-failures 0
  fleet machines update tag:laptop --skip-unreachable
  fleet machines update 'tag:server & !cinnabar' --goal boot --reboot
  fleet machines update cinnabar --target-host root@192.0.2.7
  fleet machines update --resume 20260102-1504`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.canDraw(o.page); err != nil {
				return err
			}
			if o.resume != "" {
				if len(args) > 0 {
					return &codeError{exitUsage, errors.New("--resume goes on with the machines of its run: name none")}
				}
				if err := resumesAlone(cmd); err != nil {
					return err
				}
				return a.resume(cmd.Context(), o, cmd.Flags().Changed("max-failures"))
			}
			return a.update(cmd.Context(), o.of(args), o)
		},
	}
	flags := cmd.Flags()
	o.choice.flags(cmd)
	flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done and do nothing")
	flags.StringVar(&o.goal, "goal", string(deploy.Switch), "come to this `GOAL`: "+strings.Join(goals(), ", "))
	flags.BoolVar(&o.reboot, "reboot", false, "restart a machine that is not wholly at its system without that; it is confirmed afterwards, or restarts back")
	o.buildPlace.flags(cmd, a)
	flags.StringVar(&o.batch, "batch", "", "change machines in groups of these `NUMBERS`, such as 1,25%,rest")
	flags.IntVar(&o.maxFailures, "max-failures", -1, "change no more machines when more than so many have failed, -1 for any number")
	flags.StringSliceVar(&o.roleOrder, "role-order", nil, "change machines with these `ROLES` first, such as zerotier/controller,peer")
	flags.IntVar(&o.limitEval, "limit-eval", 0, "machines evaluated at once, 0 for --jobs")
	flags.IntVar(&o.limits.Build, "limit-build", deploy.BuildsAtOnce(), "machines built for at once")
	flags.IntVar(&o.limits.Copy, "limit-copy", 8, "machines copied to at once")
	flags.IntVar(&o.limits.Activate, "limit-activate", 16, "machines activated at once")
	flags.DurationVar(&o.confirm, "confirm-timeout", 2*time.Minute, "how long a machine waits for the confirmation of its new system before it goes back")
	flags.DurationVar(&o.activation, "activation-timeout", 30*time.Minute, "how long an activation may take before the machine goes back")
	flags.StringVar(&o.resume, "resume", "", "go on with this `RUN`")
	flags.StringVar(&o.page, "html", "", "write at the end a page into this `FILE` that shows what took how long")
	_ = cmd.MarkFlagFilename("html", "html")
	_ = cmd.RegisterFlagCompletionFunc("goal", cobra.FixedCompletions(goals(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("batch", cobra.FixedCompletions([]string{"1,25%,rest"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("role-order", a.completeRoleList)
	_ = cmd.RegisterFlagCompletionFunc("resume", a.completeResumable)
	return cmd
}

// settings are the flags as package deploy has them.
func (o updateOptions) settings() (deploy.Settings, error) {
	s := deploy.Settings{
		Goal: deploy.Goal(o.goal), Reboot: o.reboot, StopAfter: o.maxFailures + 1, Limits: o.limits,
		BuildHost: o.buildHost, BuildOnTarget: o.buildOnTarget,
		Timeouts: deploy.Timeouts{Confirm: o.confirm, Activate: o.activation},
	}
	wrong := func(format string, args ...any) (deploy.Settings, error) {
		return deploy.Settings{}, &codeError{exitUsage, fmt.Errorf(format, args...)}
	}
	if !slices.Contains(goals(), o.goal) {
		return wrong("--goal %s is none of %s", o.goal, strings.Join(goals(), ", "))
	}
	if o.page != "" && o.dryRun {
		return wrong("--html draws a run, and --dry-run makes none: leave one out")
	}
	if o.limitEval < 0 {
		return wrong("--limit-eval is %d, and must be at least 1, or 0 for --jobs", o.limitEval)
	}
	if o.maxFailures < -1 {
		return wrong("--max-failures is %d, and must be at least 0, or -1 for any number", o.maxFailures)
	}
	if o.reboot && s.Goal != deploy.Switch && s.Goal != deploy.Boot {
		return wrong("--reboot goes with the goals switch and boot, not with %s", o.goal)
	}
	for name, n := range map[string]int{"build": o.limits.Build, "copy": o.limits.Copy, "activate": o.limits.Activate} {
		if n < 1 {
			return wrong("--limit-%s is %d, and must be at least 1", name, n)
		}
	}
	if o.confirm < time.Second || o.activation < time.Second {
		return wrong("--confirm-timeout and --activation-timeout must be a second at least")
	}
	if o.batch != "" {
		batches, err := deploy.ParseBatches(o.batch)
		if err != nil {
			return wrong("--batch: %w", err)
		}
		s.Batches = batches
	}
	return s, nil
}

// update evaluates, builds and changes machines, each as soon as it can be.
func (a *App) update(ctx context.Context, c choice, o updateOptions) error {
	settings, err := o.settings()
	if err != nil {
		return err
	}
	p := a.work()
	if o.dryRun {
		p = a.progress()
	}
	p.get().Set("evaluating", "the fleet", "")
	a.config.Jobs = cmp.Or(o.limitEval, a.config.Jobs)
	// Of all machines the first ones need not wait for the last.
	s, err := a.openFor(ctx, c.args, false, true)
	if err != nil {
		p.clear()
		return err
	}
	names, err := s.choose(c)
	if err != nil {
		p.clear()
		return err
	}
	waves, err := inventory.Waves(&s.fleet.Inventory, names, inventory.Order{Roles: o.roleOrder, Last: s.thisMachine(names)})
	if err != nil {
		p.clear()
		return &codeError{exitUsage, fmt.Errorf("--role-order: %w", err)}
	}
	p.get().Remove("evaluating")
	if settings.BuildHost, err = s.buildHost(ctx, settings.BuildHost); err != nil {
		p.clear()
		return err
	}
	evaluating, cancel := context.WithCancel(ctx)
	unnamed := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(c.args, name) })
	machines, wait := s.evaluating(evaluating, names, waves, unnamed)
	defer wait()
	defer cancel()
	if o.dryRun {
		return s.showPlan(ctx, p, s.updating(p, settings), machines)
	}
	options := s.updating(p, settings)
	if err := s.record(&options, deploy.Header{Machines: names, Waves: waves, Unnamed: unnamed}); err != nil {
		p.clear()
		return err
	}
	defer s.drawRun(options.Run, o.page)
	return s.runUpdate(ctx, p, options, func(d *deploy.Deployer) *deploy.Summary { return d.Update(ctx, machines) })
}

// openRun opens the flake of a run.
func (a *App) openRun(ctx context.Context, history *deploy.History) (*session, error) {
	if a.config.Flake == "" {
		a.config.Flake = history.Flake
	}
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range history.Machines {
		if _, there := s.fleet.Machines[name]; !there {
			return nil, fmt.Errorf("the run %s is about %s, which is no machine of %s", history.ID, name, s.fleet.Ref)
		}
		if known := history.Evaluated[name].Details; known != nil {
			s.deployOf(name, known) // tells where it is
		}
		if host := history.Settings.TargetHost; host != "" {
			s.redirect(name, host)
		}
	}
	return s, nil
}

// runs is where runs are recorded.
func (a *App) runs() string { return filepath.Join(a.config.StateDir, "runs") }

// runError adds to an error about a run how to find one.
func runError(err error) error {
	var missing *deploy.NoRecordError
	if errors.As(err, &missing) {
		return &codeError{exitUsage, fmt.Errorf("%w; `fleet machines runs` lists what there is", err)}
	}
	return err
}

// completeRuns offers the runs that are recorded, the latest first.
func (a *App) completeRuns(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if a.configure(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return deploy.Runs(a.runs()), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// thisMachine is the machine that this computer is.
func (s *session) thisMachine(names []string) string {
	for _, name := range names {
		if s.deployOf(name, nil).TargetHost == "local" {
			return name
		}
	}
	if slices.Contains(names, s.Hostname) {
		return s.Hostname
	}
	return ""
}

// updating are the options of a deploy that changes machines.
func (s *session) updating(p *progress, settings deploy.Settings) deploy.Options {
	o := s.deployOptions()
	o.OnEvent = p.deploy
	settings.TargetHost = o.TargetHost
	settings.SkipUnreachable = settings.SkipUnreachable || o.SkipUnreachable
	o.Settings = settings
	o.Names = map[string]string{}
	for name := range s.fleet.Machines {
		o.Names[s.deployOf(name, nil).TargetHost] = name
	}
	o.Run = deploy.NewRun(s.Now(), rand.Reader)
	return o
}

// record has a deploy recorded; h has its machines.
func (s *session) record(o *deploy.Options, h deploy.Header) (err error) {
	h.ID, h.Started, h.Owner, h.Flake, h.Settings = o.Run, s.Now(), o.Owner, s.fleet.Ref, o.Settings
	if o.Record, err = deploy.CreateRecord(s.runs(), h); err != nil {
		return fmt.Errorf("%w; --state-dir names another folder for it", err)
	}
	return nil
}

// runUpdate runs a deploy and shows how it ended.
func (s *session) runUpdate(ctx context.Context, p *progress, o deploy.Options, run func(*deploy.Deployer) *deploy.Summary) error {
	d := deploy.New(o)
	summary := run(d)
	err := errors.Join(d.Close(), o.Record.Close(s.Now()))
	p.clear()
	if err != nil {
		s.Streams.Warn("%v", err)
	}
	return s.showSummary(summary, o.Settings)
}

// showSummary prints how machines ended and gives the exit code of it.
func (s *session) showSummary(summary *deploy.Summary, settings deploy.Settings) error {
	if s.config.JSON {
		return errors.Join(s.result(summary), exit(summary.ExitCode()))
	}
	table := term.Table{Header: []string{"MACHINE", "TARGET", "STATE", "SYSTEM"}, Paint: s.paintState(2)}
	for _, r := range summary.Results {
		system := ""
		if r.State == deploy.Done || r.State == deploy.Unchanged { // others are not at the one that was wanted
			system = r.Out
		}
		table.Add(r.Machine, r.Target, string(r.State), deploy.ShortPath(system))
	}
	if err := s.Streams.Table(&table); err != nil {
		return err
	}
	for _, r := range summary.Results {
		for _, line := range r.Output {
			fmt.Fprintf(s.Streams.Out, "%s: %s\n", r.Machine, term.Clean(line))
		}
		if r.State == deploy.Done && r.Message != "" && settings.Goal.Changes() {
			s.Streams.Say("%s: %s", r.Machine, r.Message)
		}
	}
	s.sayProblems(summary)
	if !settings.Rollback {
		s.sayResumption(summary)
	}
	s.Streams.Say("%s", summary.Text())
	return exit(summary.ExitCode())
}

func (s *session) showPlan(ctx context.Context, p *progress, o deploy.Options, machines []deploy.Machine) error {
	d := deploy.New(o)
	defer d.Close()
	plan := d.Plan(ctx, machines)
	p.clear()
	failed, skipped := 0, 0
	turns := slices.ContainsFunc(plan.Steps, func(s deploy.Step) bool { return s.Turn > 1 })
	table := term.Table{Header: []string{"MACHINE", "TARGET", "WOULD"}}
	if turns {
		table.Header = slices.Insert(table.Header, 1, "TURN")
	}
	for _, step := range plan.Steps {
		row := []string{step.Machine, step.Target, step.Text()}
		if turns {
			turn := "–"
			if step.Turn > 0 {
				turn = strconv.Itoa(step.Turn)
			}
			row = slices.Insert(row, 1, turn)
		}
		table.Add(row...)
		switch {
		case step.Skipped:
			skipped++
		case step.Err != nil:
			failed++
		}
	}
	code := exitOf(failed, len(plan.Steps)-skipped)
	if s.config.JSON {
		return errors.Join(s.writeJSON(plan), exit(code))
	}
	if err := s.Streams.Table(&table); err != nil {
		return err
	}
	for _, step := range plan.Steps {
		if step.Next != "" && !step.Skipped {
			s.Streams.Say("%s: next: %s", step.Machine, step.Next)
		}
	}
	return exit(code)
}

// unmadeOf names the secrets of a machine that have no value yet.
func (s *session) unmadeOf(machine string, details *flake.Details) ([]string, error) {
	machines := map[string]*flake.Details{machine: details}
	layout, err := s.layout(machines, nil)
	if err != nil {
		return nil, err
	}
	defer layout.Close()
	f := &vars.Fleet{Layout: layout, Machines: machines}
	_, unmade, err := f.Deployed(machine)
	return unmade, err
}

// secretOf decrypts a value of one machine, which is evaluated by then.
func (s *session) secretOf(ctx context.Context, machine, name string) ([]byte, error) {
	evaluated, err := s.loader.Details(ctx, s.fleet, []string{machine}, true)
	if err != nil {
		return nil, err
	}
	if failed := evaluated.Failed[machine]; failed != nil {
		return nil, failed
	}
	values, done, err := s.values(ctx, map[string]*flake.Details{machine: evaluated.Details[machine]})
	if err != nil {
		return nil, err
	}
	defer done()
	value, err := values.Get(ctx, machine, name)
	if err != nil {
		return nil, err
	}
	return value.Data, nil
}

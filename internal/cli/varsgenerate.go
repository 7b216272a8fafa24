package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/environ"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
)

type generateOptions struct {
	all, dryRun, commit, yes bool
	answers                  string
	timeout                  time.Duration
	vars.Request
}

// flags are those of both commands that make values.
func (o *generateOptions) flags(cmd *cobra.Command) {
	allFlag(cmd, &o.all)
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print the plan and do nothing")
	cmd.Flags().BoolVar(&o.commit, "commit", false, "make one git commit of what was written")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "replace identities without asking")
	cmd.Flags().StringVar(&o.answers, "answers", "", "`FILE` with the answers to prompts")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long one script may run")
}

func (a *App) varsGenerateCmd() *cobra.Command {
	var o generateOptions
	cmd := &cobra.Command{
		Use:   "generate [SELECTION...]",
		Short: "Make the values that are missing",
		Long: `Make the values that the selected machines declare and that are missing.
Nothing that exists is replaced unless its generator is named with --regenerate;
what others know a machine by or trust (ssh keys, keys of certificate
authorities, zerotier identities and the like) asks once more. Where a generator
has some of its files and lacks others, or has another validation than before,
--keep leaves what is there and makes only what is missing. Values of generators
that are shared from now on, or not any more, are kept and moved. Scripts run in a
sandbox without network. A machine's age key is made when it needs one, and
secrets are encrypted to the machine and all administrators.

Answers to prompts come from --answers FILE (YAML or JSON, {machine: {generator:
{prompt: value}}}), from FLEET_PROMPT_<MACHINE>_<GENERATOR>_<PROMPT>, or from you.`,
		Example: `  fleet vars generate cinnabar
  fleet vars generate --all --dry-run
  fleet vars generate tag:workstation --answers answers.yaml
  fleet vars generate cinnabar --regenerate wifi
  fleet vars generate cinnabar --keep certificate`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.varsGenerate(cmd.Context(), args, o)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&o.Regenerate, "regenerate", nil, "`GENERATORS` whose values are made anew though they exist")
	cmd.Flags().StringSliceVar(&o.Keep, "keep", nil, "`GENERATORS` whose values stay though something has changed; only missing files are made")
	cmd.Flags().StringVar(&o.Take, "take", "", "`MACHINE` whose values all get where those of several differ and are to be shared")
	cmd.Flags().StringSliceVar(&o.Publish, "publish", nil, "`GENERATORS` whose secrets may become public")
	cmd.Flags().StringSliceVarP(&o.Generators, "generator", "g", nil, "only these `GENERATORS`, and what they need")
	for _, name := range []string{"regenerate", "keep", "publish", "generator"} {
		_ = cmd.RegisterFlagCompletionFunc(name, a.completeGeneratorList)
	}
	_ = cmd.RegisterFlagCompletionFunc("take", a.completeMachineNames)
	return cmd
}

// generation is a command that makes values, ready to run.
type generation struct {
	*evaluation
	values *vars.Fleet
	plan   *vars.Plan
}

// generate evaluates the selected machines and plans, after completing what an
// interrupted run has left, and hands on to do. A dry run ends with the plan.
func (a *App) generate(ctx context.Context, args []string, o generateOptions, do func(generation) error) error {
	s, err := a.evaluate(ctx, args, o.all, false)
	if err != nil {
		return err
	}
	s.sayFailed(s.evaluated)
	if len(s.evaluated.Details) == 0 {
		return exit(exitFailed)
	}
	if v := s.evaluated.Violations; len(v) > 0 {
		return fmt.Errorf("no value is made while services lack what they demand of the inventory:\n  %s", strings.Join(v, "\n  "))
	}
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	if !o.dryRun {
		recovered, err := values.Recover(ctx, vars.Limits{})
		if err != nil {
			return err
		}
		if recovered != "" {
			a.Streams.Say("%s", recovered)
		}
	}
	plan, err := values.Plan(ctx, o.Request)
	if err != nil {
		return err
	}
	if !o.dryRun && a.Streams.CanPrompt() {
		if plan, err = a.offer(ctx, values, plan); err != nil {
			return err
		}
	}
	if o.dryRun {
		if a.config.JSON {
			return cmp.Or(a.writeJSON(plan), s.exitFor(s.evaluated))
		}
		_, err := io.WriteString(a.Streams.Out, plan.String())
		return cmp.Or(err, s.exitFor(s.evaluated))
	}
	return do(generation{s, values, plan})
}

// offer asks about the generators that are refused and need only a word, and
// plans anew with what the answers are.
func (a *App) offer(ctx context.Context, values *vars.Fleet, plan *vars.Plan) (*vars.Plan, error) {
	asked := map[string]bool{}
	for {
		i := slices.IndexFunc(plan.Refused, func(r vars.Refusal) bool {
			return !asked[r.Name] && (r.Publish != "" || r.Keep != "" && len(r.Missing) > 0)
		})
		if i < 0 {
			return plan, nil
		}
		name, publish := plan.Refused[i].Name, plan.Refused[i].Publish != ""
		asked[name] = true
		var told []string
		for _, r := range plan.Refused {
			switch {
			case r.Name == name && publish && r.Publish != "":
				told = append(told, r.Error())
			case r.Name == name && !publish && len(r.Missing) > 0:
				told = append(told, fmt.Sprintf("%s has %s and lacks %s", r.ID, strings.Join(r.Replaces, ", "), strings.Join(r.Missing, ", ")))
			}
		}
		question := "Make only what is missing, though it need not belong to what is there?"
		if publish {
			question = "Publish it?"
		}
		ok, err := a.Streams.Confirm(ctx, strings.Join(told, "; ")+". "+question)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		req := plan.Request
		if publish {
			req.Publish = append(slices.Clone(req.Publish), name)
		} else {
			req.Keep = append(slices.Clone(req.Keep), name)
		}
		if plan, err = values.Plan(ctx, req); err != nil {
			return nil, err
		}
	}
}

func (a *App) varsGenerate(ctx context.Context, args []string, o generateOptions) error {
	return a.generate(ctx, args, o, func(g generation) error { return g.run(ctx, o) })
}

func (g generation) run(ctx context.Context, o generateOptions) (err error) {
	report := vars.NewReport()
	if g.plan.Empty() {
		g.Streams.Say("Nothing to do: every value of %s is there.", plural(len(g.evaluated.Details), "machine"))
	} else {
		g.Streams.Say("%s", strings.TrimRight(g.plan.String(), "\n"))
		if err := g.confirmIdentities(ctx, g.plan.Identities(), o.yes); err != nil {
			return err
		}
		var made *vars.Report
		p := g.work()
		made, err = g.runVars(ctx, p, g.values, g.plan, o)
		p.stop()
		if made != nil {
			report = made
		}
		if len(report.Paths) > 0 {
			moved := ""
			if len(report.Moved) > 0 {
				moved = ", moved those of " + plural(len(report.Moved), "generator")
			}
			g.Streams.Say("Made the values of %s and %s%s, wrote %s.",
				plural(len(report.Generated), "generator"), plural(len(report.MachineKeys), "key"), moved, plural(len(report.Paths), "file"))
		}
	}
	if g.config.JSON {
		err = cmp.Or(err, g.result(generated{report, texts(g.evaluated, err)}))
	}
	return cmp.Or(err, g.exitFor(g.evaluated))
}

// generated is the result of `vars generate`.
type generated struct {
	*vars.Report
	Errors []string `json:"errors"`
}

// texts are the errors of the machines that do not evaluate, and of a run.
func texts(evaluated *flake.Evaluated, err error) []string {
	all := []string{}
	for _, failed := range evaluated.Errors() {
		all = append(all, failed.Error())
	}
	var several *multierror.Error
	switch {
	case errors.As(err, &several):
		for _, err := range several.Errors {
			all = append(all, err.Error())
		}
	case err != nil:
		all = append(all, err.Error())
	}
	return all
}

// runVars runs a plan and shows it on p.
func (s *session) runVars(ctx context.Context, p *progress, values *vars.Fleet, plan *vars.Plan, o generateOptions) (*vars.Report, error) {
	sources := vars.Sources{LookupEnv: func(name string) (string, bool) { return environ.Lookup(s.Environ, name) }}
	if o.answers != "" {
		text, err := s.readFile(ctx, o.answers)
		if err != nil {
			return nil, fmt.Errorf("cannot read the answers: %w", err)
		}
		file, err := vars.ParseAnswers(o.answers, text)
		if err != nil {
			return nil, err
		}
		sources.Answers, sources.Where = file.Answers, file.Where
	}
	if s.Streams.CanPrompt() {
		sources.Prompter = &prompter{streams: s.Streams}
	}
	return values.Run(ctx, plan, vars.RunOptions{
		Builder: s.nix,
		Sources: sources,
		Limits:  vars.Limits{Timeout: o.timeout},
		Commit:  o.commit,
		Now:     s.Now,
		OnEvent: p.vars,
		OnBuild: s.nixEvent,
	})
}

// readFile reads a file that may be a pipe on which nobody writes.
func (a *App) readFile(ctx context.Context, name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(a.Dir, name)
	}
	type content struct {
		data []byte
		err  error
	}
	read := make(chan content, 1)
	go func() {
		data, err := os.ReadFile(name)
		read <- content{data, err}
	}()
	select {
	case c := <-read:
		return c.data, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prompter asks the questions of generators on the terminal.
type prompter struct {
	streams *term.Streams
	group   string // the heading that was shown last
}

func (p *prompter) Ask(ctx context.Context, q vars.Question) (string, error) {
	display := q.Prompt.Display
	if p.group != display.Group && display.Group != "" {
		p.streams.Say("%s", display.Group)
	}
	p.group = display.Group
	var help []string
	for _, text := range []string{q.Prompt.Description, display.HelperText} {
		if text = strings.TrimSpace(text); text != "" && text != q.Prompt.Name {
			help = append(help, text)
		}
	}
	label := fmt.Sprintf("%s — %s", q.ID, cmp.Or(display.Label, q.Prompt.Name))
	if display.Label == "" && len(help) > 0 && !strings.Contains(help[0], "\n") {
		label, help = fmt.Sprintf("%s — %s", q.ID, help[0]), help[1:]
	}
	switch {
	case q.Stored:
		label += " [empty keeps the earlier answer]"
	case !display.Required:
		label += " [may be empty]"
	}
	return p.streams.Ask(ctx, term.Question{
		Label:     label,
		Help:      strings.Join(help, "\n"),
		Hidden:    strings.HasSuffix(q.Prompt.Type, "hidden"),
		Multiline: strings.HasPrefix(q.Prompt.Type, "multiline"),
	})
}

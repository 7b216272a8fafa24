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
	"unicode/utf8"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
)

func (a *App) varsCmd() *cobra.Command {
	cmd := parent("vars", "Make, show and read the fleet's generated values",
		"Make, show and read the values that generators make: secrets, which are encrypted to the machines and administrators that need them, and public values.",
		"  fleet vars keys init\n  fleet vars generate --all\n  fleet vars list cinnabar")
	cmd.AddCommand(a.varsGenerateCmd(), a.varsListCmd(), a.varsGetCmd(), a.varsSetCmd(), a.varsRotateCmd(), a.varsExportCmd(), a.varsImportCmd(), a.varsUploadCmd(), a.varsCheckCmd(), a.varsFixCmd(), a.varsMigrateCmd(), a.varsKeysCmd())
	return cmd
}

// values opens the values of the machines that evaluate.
func (s *session) values(ctx context.Context, details map[string]*flake.Details) (*vars.Fleet, func(), error) {
	dir, err := s.valuesDir()
	if err != nil {
		return nil, nil, err
	}
	ids, err := s.identities(ctx)
	if err != nil {
		return nil, nil, err
	}
	layout, err := s.layout(details, ids.Recipients())
	if mixed := (*secrets.MixedError)(nil); errors.As(err, &mixed) {
		// A migration may have been interrupted, and is to be completed first.
		recovered, failed := (&vars.Fleet{Root: dir, Env: s.Environ}).Recover(ctx, vars.Limits{})
		if failed != nil || recovered == "" {
			return nil, nil, errors.Join(err, failed)
		}
		s.Streams.Say("%s", recovered)
		layout, err = s.layout(details, ids.Recipients())
	}
	if err != nil {
		return nil, nil, err
	}
	for _, w := range ids.Warnings() {
		s.Streams.Warn("%s", w)
	}
	return &vars.Fleet{
		Root: dir, Layout: layout, Identities: ids, Inventory: &s.fleet.Inventory,
		Machines: details, Env: s.Environ,
	}, func() { layout.Close() }, nil
}

type generateOptions struct {
	all, dryRun, commit, yes bool
	answers                  string
	timeout                  time.Duration
	vars.Request
}

// flags are those of both commands that make values.
func (o *generateOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.all, "all", false, "all machines")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print the plan and do nothing")
	cmd.Flags().BoolVar(&o.commit, "commit", false, "make one git commit of what was written")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "replace identities without asking")
	cmd.Flags().StringVar(&o.answers, "answers", "", "file with the answers to prompts")
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
--keep leaves what is there and makes only what is missing. Scripts run in a
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
	cmd.Flags().StringSliceVar(&o.Regenerate, "regenerate", nil, "generators whose values are made anew though they exist")
	cmd.Flags().StringSliceVar(&o.Keep, "keep", nil, "generators whose values stay though something has changed; only missing files are made")
	cmd.Flags().StringSliceVarP(&o.Generators, "generator", "g", nil, "only these generators, and what they need")
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
		if plan, err = a.offerToKeep(ctx, values, plan); err != nil {
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

// offerToKeep asks about the generators that are refused because some of their
// files exist and others do not, and plans anew with what is to be kept.
func (a *App) offerToKeep(ctx context.Context, values *vars.Fleet, plan *vars.Plan) (*vars.Plan, error) {
	asked := map[string]bool{}
	for {
		i := slices.IndexFunc(plan.Refused, func(r vars.Refusal) bool { return r.Keep != "" && len(r.Missing) > 0 && !asked[r.Name] })
		if i < 0 {
			return plan, nil
		}
		name := plan.Refused[i].Name
		asked[name] = true
		var partly []string
		for _, r := range plan.Refused {
			if r.Name == name && len(r.Missing) > 0 {
				partly = append(partly, fmt.Sprintf("%s has %s and lacks %s", r.ID, strings.Join(r.Replaces, ", "), strings.Join(r.Missing, ", ")))
			}
		}
		ok, err := a.Streams.Confirm(ctx, strings.Join(partly, "; ")+". Make only what is missing, though it need not belong to what is there?")
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		req := plan.Request
		req.Keep = append(slices.Clone(req.Keep), name)
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
			g.Streams.Say("Made the values of %s and %s, wrote %s.",
				plural(len(report.Generated), "generator"), plural(len(report.MachineKeys), "key"), plural(len(report.Paths), "file"))
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
	sources := vars.Sources{LookupEnv: func(name string) (string, bool) {
		for _, entry := range s.Environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}}
	if o.answers != "" {
		text, err := s.readFile(ctx, o.answers)
		if err != nil {
			return nil, fmt.Errorf("cannot read the answers: %w", err)
		}
		if sources.Answers, err = vars.ParseAnswers(text); err != nil {
			return nil, fmt.Errorf("%s: %w", o.answers, err)
		}
	}
	if s.Streams.CanPrompt() {
		sources.Prompter = prompter{s.Streams}
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
type prompter struct{ streams *term.Streams }

func (p prompter) Ask(ctx context.Context, q vars.Question) (string, error) {
	label := cmp.Or(q.Prompt.Display.Label, q.Prompt.Description, q.Prompt.Name)
	return p.streams.Ask(ctx, term.Question{
		Label:     fmt.Sprintf("%s — %s", q.ID, label),
		Help:      q.Prompt.Display.HelperText,
		Hidden:    strings.HasSuffix(q.Prompt.Type, "hidden"),
		Multiline: strings.HasPrefix(q.Prompt.Type, "multiline"),
	})
}

func (a *App) varsListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list [SELECTION...]",
		Short: "Show which values exist and who can read them",
		Long:  "Show every value that the selected machines declare (all machines, if none is named): secret or public, shared, present, readable by the right people, when it was changed last (committed, or written where it is not committed yet), and where it lies on the machine. No key is needed for it.",
		Example: `  fleet vars list
  fleet vars list cinnabar
  fleet vars list tag:workstation --json`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.evaluate(cmd.Context(), args, len(args) == 0, false)
			if err != nil {
				return err
			}
			return s.listVars(cmd.Context(), s.evaluated)
		},
	}
}

func (s *session) listVars(ctx context.Context, evaluated *flake.Evaluated) error {
	s.sayFailed(evaluated)
	values, done, err := s.values(ctx, evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	rows, err := values.List(ctx)
	if err != nil {
		return err
	}
	if err := values.Date(ctx, rows); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Streams.Warn("when values were changed is told by their files, because git does not tell: %v", err)
	}
	if s.config.JSON {
		return errors.Join(s.writeJSON(rows), s.exitFor(evaluated))
	}
	table := term.Table{Header: []string{"MACHINE", "VALUE", "KIND", "PRESENT", "READERS", "CHANGED", "PATH"}}
	now := s.Now()
	for _, r := range rows {
		kind := "public"
		if r.Secret {
			kind = "secret"
		}
		if r.Shared {
			kind += ", shared"
		}
		present := "no"
		switch {
		case r.Outdated:
			present = "outdated"
		case r.Present:
			present = "yes"
		}
		table.Add(r.Machine, r.Generator+"/"+r.File, kind, present, cmp.Or(r.Readers(), "–"), ago(now, r.Changed), cmp.Or(r.Path, "–"))
	}
	if err := table.Write(s.Streams.Out); err != nil {
		return err
	}
	return s.exitFor(evaluated)
}

func (a *App) varsGetCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "get MACHINE GENERATOR/FILE",
		Short: "Print one value, exactly its bytes",
		Long:  "Print one value of a machine, exactly its bytes. A secret is decrypted with your key; it is printed on a terminal only after you said so.",
		Example: `  fleet vars get cinnabar ssh-host-key/id_ed25519.pub
  fleet vars get cinnabar wifi/password > /dev/shm/password`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeMachines(cmd, args, prefix)
			}
			return a.completeValues(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			s, err := a.open(ctx)
			if err != nil {
				return err
			}
			value, err := s.getVar(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if value.Secret && a.Streams.OutTTY && !yes {
				if ok, err := a.Streams.Confirm(ctx, args[1]+" is a secret. Print it on this terminal?"); err != nil || !ok {
					return cmp.Or(err, exit(exitFailed))
				}
			}
			if a.config.JSON {
				return a.writeJSON(newValue(args[0], args[1], value))
			}
			_, err = a.Streams.Out.Write(value.Data)
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "print a secret on a terminal without asking")
	return cmd
}

// value is the JSON of one value; Base64 holds what is no text.
type value struct {
	Machine string  `json:"machine"`
	Name    string  `json:"name"`
	Secret  bool    `json:"secret"`
	Text    *string `json:"text,omitempty"`
	Base64  []byte  `json:"base64,omitempty"`
}

func newValue(machine, name string, v *vars.Value) value {
	if !utf8.Valid(v.Data) {
		return value{Machine: machine, Name: name, Secret: v.Secret, Base64: v.Data}
	}
	text := string(v.Data)
	return value{Machine: machine, Name: name, Secret: v.Secret, Text: &text}
}

func (s *session) getVar(ctx context.Context, machine, name string) (*vars.Value, error) {
	evaluated, err := s.loader.Details(ctx, s.fleet, []string{machine}, false)
	if err != nil {
		return nil, err
	}
	if failed := evaluated.Failed[machine]; failed != nil {
		return nil, fmt.Errorf("%s: %w", machine, failed)
	}
	values, done, err := s.values(ctx, evaluated.Details)
	if err != nil {
		return nil, err
	}
	defer done()
	return values.Get(ctx, machine, name)
}

// completeValues offers GENERATOR/FILE of the machine that is already typed.
func (a *App) completeValues(cmd *cobra.Command, args []string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	if s := a.quietly(cmd); s != nil && len(args) == 1 {
		evaluated, err := s.loader.Details(cmd.Context(), s.fleet, args, false)
		if err == nil && evaluated.Details[args[0]] != nil {
			for name, g := range evaluated.Details[args[0]].Generators {
				for file := range g.Files {
					offers = append(offers, name+"/"+file)
				}
			}
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

func (a *App) varsKeysCmd() *cobra.Command {
	cmd := parent("keys", "Manage who can read the secrets",
		"Manage who can read the secrets: administrators, machines and the recovery key.", "  fleet vars keys init\n  fleet vars keys list\n  fleet vars keys rotate cinnabar")
	cmd.GroupID = ""
	cmd.AddCommand(a.varsKeysInitCmd(), a.varsKeysListCmd(), a.varsKeysAddCmd(), a.varsKeysRemoveCmd(), a.varsKeysRotateCmd())
	return cmd
}

func (a *App) varsKeysInitCmd() *cobra.Command {
	var user string
	var commit bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make yourself an administrator of the fleet",
		Long: `Make yourself an administrator of the fleet: with the age key that sops would
use, or with a new one in the file that sops reads. Your public key is written to
sops/users/NAME/key.json. It can be repeated; nothing is ever replaced.`,
		Example: "  fleet vars keys init\n  fleet vars keys init --user alice",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.keysInit(cmd.Context(), user, commit)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "your name in the fleet (default: $USER)")
	cmd.Flags().BoolVar(&commit, "commit", false, "make one git commit of what was written")
	return cmd
}

// keysInit needs the flake's folder only: it works before anything evaluates.
func (a *App) keysInit(ctx context.Context, user string, commit bool) error {
	_, dir, err := findFlake(a, a.config.Flake)
	if err != nil {
		return err
	}
	s := &session{App: a, fleet: &flake.Fleet{Dir: dir}}
	values, done, err := s.values(ctx, nil)
	if err != nil {
		return err
	}
	defer done()
	report, err := values.KeysInit(ctx, vars.KeysInitOptions{
		IdentityFile: a.secretsEnv().DefaultIdentityFile(),
		User:         cmp.Or(user, a.Getenv("USER")),
		Commit:       commit,
	})
	if err != nil {
		return err
	}
	if a.config.JSON {
		return a.writeJSON(report)
	}
	if report.IdentityFile != "" {
		a.Streams.Say("Made your age key in %s; keep a copy of that file somewhere safe.", report.IdentityFile)
	}
	if report.Path != "" {
		a.Streams.Say("Wrote %s.", report.Path)
	}
	a.Streams.Say("You are administrator %s with %s.", report.User, report.PublicKey)
	return nil
}

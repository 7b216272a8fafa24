package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) varsCmd() *cobra.Command {
	cmd := parent("vars", "Make, show and read the fleet's generated values",
		"Make, show and read the values that generators make: secrets, which are encrypted to the machines and administrators that need them, and public values.",
		"  fleet vars keys init\n  fleet vars generate --all\n  fleet vars list cinnabar")
	cmd.AddCommand(a.varsGenerateCmd(), a.varsListCmd(), a.varsGetCmd(), a.varsSetCmd(), a.varsRotateCmd(), a.varsExportCmd(), a.varsImportCmd(), a.varsUploadCmd(), a.varsCheckCmd(), a.varsFixCmd(), a.varsMigrateCmd(), a.varsKeysCmd(), a.varsSecretsCmd())
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
	if err == nil {
		ids, err = s.identitiesFor(ctx, layout)
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

func (a *App) varsListCmd() *cobra.Command {
	var all, fromFiles, plain bool
	cmd := &cobra.Command{
		Use:   "list [SELECTION...]",
		Short: "Show which values exist and who can read them",
		Long:  "Show every value that the selected machines declare (all machines, if none is named): secret or public, shared, present, readable by the right people, when it was changed last (committed, or written where it is not committed yet), and where it lies on the machine. No key is needed for it.\n\nWith --offline the values that exist are told from their files in milliseconds; what the machines declare is not known then.",
		Example: `  fleet vars list
  fleet vars list cinnabar
  fleet vars list tag:workstation --json
  fleet vars list cinnabar --offline
  fleet vars list cinnabar --plain`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if fromFiles {
				return a.fromFiles(ctx, args, all, (*offline).list)
			}
			s, err := a.evaluate(ctx, args, all || len(args) == 0, false)
			if err != nil {
				return err
			}
			if plain {
				return s.listPlain(ctx)
			}
			return s.listVars(ctx, s.evaluated)
		},
	}
	allFlag(cmd, &all)
	cmd.Flags().BoolVar(&plain, "plain", false, "print the public values of one machine too, in lines GENERATOR/FILE: VALUE, as clan vars list does")
	cmd.Flags().BoolVar(&fromFiles, "offline", false, "tell from the files alone, without evaluating")
	cmd.MarkFlagsMutuallyExclusive("plain", "offline")
	return cmd
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
	return s.showRows(ctx, values, rows, evaluated)
}

// showRows dates values and shows them.
func (s *session) showRows(ctx context.Context, values *vars.Fleet, rows []vars.Row, evaluated *flake.Evaluated) error {
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
		table.Add(cmp.Or(r.Machine, "–"), r.Generator+"/"+r.File, kind, present, cmp.Or(r.Readers(), "–"), ago(now, r.Changed), cmp.Or(r.Path, "–"))
	}
	if err := s.Streams.Table(&table); err != nil {
		return err
	}
	return s.exitFor(evaluated)
}

func (a *App) varsGetCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "get MACHINE GENERATOR/FILE",
		Short: "Print one value, exactly its bytes",
		Long:  "Print one value of a machine, exactly its bytes. A secret is decrypted with your key; it is printed on a terminal only after you said so. A value that exists is told from its file, without evaluating the flake, unless that leaves more than one to choose from.",
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
			value, err := a.getVar(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if value.Secret {
				if err := a.mayPrint(ctx, args[1], yes); err != nil {
					return err
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

// mayPrint asks before a secret is printed on a terminal.
func (a *App) mayPrint(ctx context.Context, name string, yes bool) error {
	if !a.Streams.OutTTY || yes {
		return nil
	}
	if !a.Streams.CanPrompt() {
		return fmt.Errorf("%s is a secret, and nobody can be asked whether to print it on this terminal: say --yes, or send it into a pipe", name)
	}
	if ok, err := a.Streams.Confirm(ctx, name+" is a secret. Print it on this terminal?"); err != nil || !ok {
		return cmp.Or(err, exit(exitFailed))
	}
	return nil
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

func (a *App) getVar(ctx context.Context, machine, name string) (*vars.Value, error) {
	if value, err := a.fileValue(ctx, machine, name); err != nil || value != nil {
		return value, err
	}
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
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
	cmd.Flags().StringVar(&user, "user", "", "be this `NAME` in the fleet instead of that of your login")
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
		User:         cmp.Or(user, a.User),
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
	switch {
	case report.Next != "":
		a.Streams.Say("Your public key is %s. Next: %s.", report.PublicKey, report.Next)
	case report.User == report.PublicKey: // named by the flake
		a.Streams.Say("You are an administrator with %s.", report.PublicKey)
	default:
		a.Streams.Say("You are administrator %s with %s.", report.User, report.PublicKey)
	}
	return nil
}

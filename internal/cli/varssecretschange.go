package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

// linkFlags name readers.
func (a *App) linkFlags(cmd *cobra.Command, who *secrets.Linked, what string) {
	for _, flag := range []struct {
		name  string
		to    *[]string
		names func(*vars.Keys) []string
	}{
		{"user", &who.Users, func(k *vars.Keys) []string { return k.Names(vars.HolderUser) }},
		{"machine", &who.Machines, func(k *vars.Keys) []string { return k.Names(vars.HolderMachine) }},
		{"group", &who.Groups, (*vars.Keys).GroupNames},
	} {
		cmd.Flags().StringArrayVar(flag.to, flag.name, nil, "a `"+strings.ToUpper(flag.name)+"` "+what+"; can be repeated")
		_ = cmd.RegisterFlagCompletionFunc(flag.name, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.offerKeys(cmd, flag.names)
		})
	}
}

func (a *App) varsSecretsSetCmd() *cobra.Command {
	var o keysOptions
	var who secrets.Linked
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Make or replace a secret",
		Long: `Make or replace a secret. Its value is read from standard input, exactly its
bytes; on a terminal it is asked for, twice and without showing it. You read it,
and so do those who are named, beside those who do already.`,
		Example: `  fleet vars secrets set hetzner-token
  fleet vars secrets set hetzner-token --machine cinnabar --group admins < token`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setSecret(cmd.Context(), args[0], who, o)
		},
	}
	o.flags(cmd.Flags())
	a.linkFlags(cmd, &who, "that reads it too")
	return cmd
}

func (a *App) setSecret(ctx context.Context, name string, who secrets.Linked, o keysOptions) error {
	return a.changeSecrets(ctx, o, func(f *vars.Fleet, c vars.ChangeOptions) (*vars.SecretsReport, error) {
		// What is wrong is told before somebody types a value.
		try := c
		try.DryRun = true
		if _, err := f.SetSecrets(ctx, map[string][]byte{name: nil}, who, true, try); err != nil {
			return nil, err
		}
		data, err := a.readValue(ctx, "secret "+name)
		if err != nil {
			return nil, err
		}
		return f.SetSecrets(ctx, map[string][]byte{name: data}, who, true, c)
	})
}

func (a *App) varsSecretsGrantCmd() *cobra.Command {
	var o keysOptions
	var who secrets.Linked
	cmd := &cobra.Command{
		Use:               "grant NAME",
		Short:             "Let others read a secret",
		Long:              "Let users, machines or groups read a secret, or users and groups the private key of a machine (MACHINE-age.key). Its value stays.",
		Example:           "  fleet vars secrets grant hetzner-token --user alice --machine cinnabar\n  fleet vars secrets grant cinnabar-age.key --group admins",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeReaders(cmd.Context(), args[0], who, o, (*vars.Fleet).GrantSecret)
		},
	}
	o.flags(cmd.Flags())
	a.linkFlags(cmd, &who, "that is to read it")
	return cmd
}

func (a *App) varsSecretsRevokeCmd() *cobra.Command {
	var o keysOptions
	var who secrets.Linked
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Take a secret from others",
		Long: `Take a secret, or the private key of a machine, from users, machines or groups.
It is encrypted anew with a new data key. They know its value, and the history of
the repository keeps it: set another.`,
		Example:           "  fleet vars secrets revoke hetzner-token --user alice\n  fleet vars secrets revoke hetzner-token --machine cinnabar --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeReaders(cmd.Context(), args[0], who, o, (*vars.Fleet).RevokeSecret)
		},
	}
	o.flags(cmd.Flags())
	a.linkFlags(cmd, &who, "that is not to read it any more")
	return cmd
}

// changeReaders lets somebody read a secret, or takes it from them.
func (a *App) changeReaders(ctx context.Context, name string, who secrets.Linked, o keysOptions,
	change func(*vars.Fleet, context.Context, string, secrets.Linked, vars.ChangeOptions) (*vars.SecretsReport, error),
) error {
	if len(who.Names()) == 0 {
		return &codeError{exitUsage, errors.New("nobody is named: --user, --machine or --group")}
	}
	return a.changeSecrets(ctx, o, func(f *vars.Fleet, c vars.ChangeOptions) (*vars.SecretsReport, error) {
		return change(f, ctx, name, who, c)
	})
}

func (a *App) varsSecretsRemoveCmd() *cobra.Command {
	var o keysOptions
	var yes bool
	cmd := &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a secret",
		Long:              "Remove a secret. What was committed stays in the history of the repository.",
		Example:           "  fleet vars secrets remove hetzner-token\n  fleet vars secrets remove hetzner-token --yes --commit",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.changeSecrets(ctx, o, func(f *vars.Fleet, c vars.ChangeOptions) (*vars.SecretsReport, error) {
				try := c
				try.DryRun = true
				report, err := f.RemoveSecret(ctx, args[0], try)
				if err != nil || c.DryRun {
					return report, err
				}
				if err := a.mayRemove(ctx, report.Secrets[0], yes); err != nil {
					return nil, err
				}
				return f.RemoveSecret(ctx, args[0], c)
			})
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove it without asking")
	return cmd
}

func (a *App) mayRemove(ctx context.Context, c vars.SecretChange, yes bool) error {
	if yes {
		return nil
	}
	question := "secret " + c.Name + " will be gone"
	if len(c.Machines) > 0 {
		question += ", also from " + strings.Join(c.Machines, ", ")
	}
	if !a.Streams.CanPrompt() {
		return fmt.Errorf("%s, so nothing was changed: say --yes", question)
	}
	if ok, err := a.Streams.Confirm(ctx, question+". Remove it?"); err != nil || !ok {
		return cmp.Or(err, exit(exitFailed))
	}
	return nil
}

func (a *App) varsSecretsRenameCmd() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:               "rename NAME NEWNAME",
		Short:             "Give a secret another name",
		Long:              "Give a secret another name. Value and readers stay. What names it in the flake, as sops.secrets.NAME, has to be changed by you.",
		Example:           "  fleet vars secrets rename hetzner-token hcloud-token",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.changeSecrets(ctx, o, func(f *vars.Fleet, c vars.ChangeOptions) (*vars.SecretsReport, error) {
				return f.RenameSecret(ctx, args[0], args[1], c)
			})
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

type secretsImportOptions struct {
	keysOptions
	prefix  string
	replace bool
}

func (a *App) varsSecretsImportCmd() *cobra.Command {
	var o secretsImportOptions
	var who secrets.Linked
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take over secrets from a sops file",
		Long: `Take over the values of a sops file, YAML, JSON, dotenv or INI: each text at its
top becomes a secret of that name. What is no text there is told of and left out.
A secret that exists and is another is replaced only with --replace. The file
stays as it is.`,
		Example: "  fleet vars secrets import secrets.yaml --dry-run\n  fleet vars secrets import secrets.yaml --prefix cloud- --machine cinnabar",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importSecrets(cmd.Context(), args[0], who, o)
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.prefix, "prefix", "", "begin each name with this `PREFIX`")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "replace secrets that exist and are others")
	a.linkFlags(cmd, &who, "that reads them too")
	return cmd
}

func (a *App) importSecrets(ctx context.Context, file string, who secrets.Linked, o secretsImportOptions) error {
	data, err := a.readFile(ctx, file)
	if err != nil {
		return fmt.Errorf("cannot read the sops file: %w", err)
	}
	return a.changeSecrets(ctx, o.keysOptions, func(f *vars.Fleet, c vars.ChangeOptions) (*vars.SecretsReport, error) {
		given, others, err := f.ReadSopsFile(ctx, filepath.Base(file), data, o.prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, name := range others {
			a.Streams.Warn("%s is no text and was left out", name)
		}
		return f.SetSecrets(ctx, given, who, o.replace, c)
	})
}

// changeSecrets makes one change of secrets without a generator and shows it.
func (a *App) changeSecrets(ctx context.Context, o keysOptions, change func(*vars.Fleet, vars.ChangeOptions) (*vars.SecretsReport, error)) error {
	values, done, err := a.keys(ctx)
	if err != nil {
		return err
	}
	defer done()
	report, err := change(values, vars.ChangeOptions{DryRun: o.dryRun, Commit: o.commit, Now: a.Now})
	if report == nil {
		return err
	}
	if a.config.JSON {
		return cmp.Or(err, a.writeJSON(report))
	}
	return cmp.Or(err, a.showSecretsChange(report, o.dryRun))
}

func (a *App) showSecretsChange(r *vars.SecretsReport, dryRun bool) error {
	if r.Recovered != "" {
		a.Streams.Say("%s", r.Recovered)
	}
	if dryRun {
		_, err := io.WriteString(a.Streams.Out, r.String())
		return err
	}
	if len(r.Paths) == 0 {
		a.Streams.Say("Nothing to do: it is so already.")
		return nil
	}
	a.Streams.Say("%s", strings.TrimRight(r.String(), "\n"))
	a.Streams.Say("Wrote or removed %s.", plural(len(r.Paths), "file"))
	for _, seen := range r.Rotate {
		a.Streams.Warn("the value of %s has been seen, and the history of the repository keeps it: `%s` makes another", seen.Value, seen.Command)
	}
	var machines []string
	for _, c := range r.Secrets {
		machines = append(machines, c.Machines...)
	}
	slices.Sort(machines)
	if machines = slices.Compact(machines); len(machines) > 0 {
		a.Streams.Say("Next: `fleet machines update %s`", strings.Join(machines, " "))
	}
	return nil
}

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// keys opens the values of the flake's folder, without evaluating anything: who
// can read must be changeable while the flake is broken.
func (a *App) keys(ctx context.Context) (*vars.Fleet, func(), error) {
	_, values, done, err := a.openFiles(ctx)
	return values, done, err
}

func (a *App) varsKeysListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show who holds which key, and what it reads",
		Long:    "Show the public keys of all administrators, of the recovery key and of all machines, which of them are yours, and how much each can read; and every key that can read something and is nobody's. No key is needed for it.",
		Example: "  fleet vars keys list\n  fleet vars keys list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, done, err := a.keys(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			list, err := values.ListKeys(cmd.Context())
			if err != nil {
				return err
			}
			return a.showKeys(list)
		},
	}
}

func (a *App) showKeys(list *vars.Keys) error {
	if a.config.JSON {
		return a.writeJSON(list)
	}
	table := term.Table{Header: []string{"KIND", "NAME", "YOURS", "READS", "PUBLIC KEY"}}
	mine := false
	for _, key := range list.Keys {
		yours, reads := "–", plural(key.Secrets, "secret")
		if key.Own {
			yours, mine = "yes", true
		}
		if key.Kind != vars.HolderMachine {
			reads = fmt.Sprintf("%d of %s, %d of %s", key.Secrets, plural(list.Secrets, "secret"), key.MachineKeys, plural(list.MachineKeys, "machine key"))
		}
		table.Add(string(key.Kind), cmp.Or(key.Name, "–"), yours, reads, key.PublicKey)
	}
	if err := a.Streams.Table(&table); err != nil {
		return err
	}
	if len(list.Groups) > 0 {
		groups := term.Table{Header: []string{"GROUP", "USERS", "MACHINES"}}
		for _, g := range list.Groups {
			groups.Add(g.Name, cmp.Or(strings.Join(g.Users, " "), "–"), cmp.Or(strings.Join(g.Machines, " "), "–"))
		}
		if _, err := fmt.Fprintln(a.Streams.Out); err != nil {
			return err
		}
		if err := a.Streams.Table(&groups); err != nil {
			return err
		}
	}
	for _, damaged := range list.Damaged {
		a.Streams.Warn("nobody can read %s: restore it from git", damaged)
	}
	if !mine {
		a.Streams.Warn("none of these keys is known to be yours: `fleet vars keys init` makes you an administrator")
	}
	return nil
}

// keysOptions are the flags of every command that changes keys.
type keysOptions struct {
	dryRun, commit bool
}

func (o *keysOptions) flags(f *pflag.FlagSet) {
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done and do nothing")
	f.BoolVar(&o.commit, "commit", false, "make one git commit of what was written")
}

// changeKeys makes one change of keys and shows it.
func (a *App) changeKeys(ctx context.Context, o keysOptions, change func(*vars.Fleet, vars.ChangeOptions) (*vars.KeysReport, error), next string) error {
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
		return cmp.Or(err, a.writeJSON(report), keysExit(report))
	}
	if showErr := a.showChange(report, o.dryRun); showErr != nil {
		return errors.Join(err, showErr)
	}
	if err == nil && next != "" && !o.dryRun {
		a.Streams.Say("%s", next)
	}
	return cmp.Or(err, keysExit(report))
}

// showChange prints as data what is worth keeping: what a dry run would do, and
// what is to be made anew.
func (a *App) showChange(r *vars.KeysReport, dryRun bool) error {
	if r.Recovered != "" {
		a.Streams.Say("%s", r.Recovered)
	}
	var out strings.Builder
	if dryRun {
		for _, list := range []struct {
			title string
			items []string
		}{{"add", r.Added}, {"remove", r.Removed}, {"encrypt anew", r.Reencrypted}, {"write or remove", r.Paths}} {
			if len(list.items) > 0 {
				fmt.Fprintf(&out, "%s\n  %s\n", list.title, strings.Join(list.items, "\n  "))
			}
		}
	} else if len(r.Paths) == 0 {
		a.Streams.Say("Nothing to do.")
	} else {
		for _, key := range r.Added {
			a.Streams.Say("Added %s.", key)
		}
		for _, key := range r.Removed {
			a.Streams.Say("Removed %s.", key)
		}
		a.Streams.Say("Encrypted %s anew.", plural(len(r.Reencrypted), "file"))
	}
	if _, err := io.WriteString(a.Streams.Out, out.String()); err != nil {
		return err
	}
	if len(r.Rotate) > 0 {
		a.Streams.Say("These values have been seen, and stay readable in the history of the repository. Make them anew, the keys of machines first:")
		table := term.Table{Header: []string{"SEEN", "COMMAND"}}
		for _, seen := range r.Rotate {
			table.Add(seen.Value, seen.Command)
		}
		if err := a.Streams.Table(&table); err != nil {
			return err
		}
	}
	for _, damaged := range r.Damaged {
		a.Streams.Warn("left alone: %s", damaged)
	}
	if len(r.Locked) > 0 {
		a.Streams.Problem(fmt.Errorf("%s cannot be opened with your keys and are not readable with the added one yet: an administrator who can read them has to run the same command (%s)",
			plural(len(r.Locked), "file"), strings.Join(r.Locked, ", ")))
	}
	return nil
}

// keysExit says that not everything could be brought to where it should be.
func keysExit(r *vars.KeysReport) error {
	if len(r.Locked)+len(r.Damaged) > 0 {
		return exit(exitFailed)
	}
	return nil
}

// groupOptions name a member of a group.
type groupOptions struct {
	group   string
	machine bool
}

func (o *groupOptions) flags(f *pflag.FlagSet, what string) {
	f.StringVar(&o.group, "group", "", what+" this `GROUP` of readers, in the layout of clan")
	f.BoolVar(&o.machine, "machine", false, "with --group: it is a machine")
}

func (o *groupOptions) member(name string) secrets.Member {
	return secrets.Member{Name: name, Machine: o.machine}
}

type keysAddOptions struct {
	keysOptions
	groupOptions
	recovery, new bool
	sshKey, out   string
}

func (a *App) varsKeysAddCmd() *cobra.Command {
	var o keysAddOptions
	cmd := &cobra.Command{
		Use:   "add [USER] [PUBLICKEY]",
		Short: "Add an administrator, a key of one, or the recovery key",
		Long: `Add an administrator, another key of one, or the recovery key. Every secret and
every machine's private key is encrypted for the new key too, as far as you can
open them, in one transaction: whoever is added reads everything at once. Where
.sops.yaml names another key of the same user, the new one comes beside it; a new
administrator reads the sops files that you keep beside the values once you name
the key there, and run fleet vars fix.

The recovery key reads everything and belongs to nobody: keep it away from all
computers. With --new it is made here; its private part is printed once on the
terminal or written to --out FILE (mode 0600), and kept nowhere else.

Where clan keeps secrets in its store age, the flake names the administrators:
change vars.settings.recipients there and run fleet vars fix.

In the layout of clan, --group GROUP makes a user, or with --machine a machine, a
member of a group instead: they read what the group reads. A new user brings a key.
There, another key of a user reads what their others do, which may be less than
everything.`,
		Example: `  fleet vars keys add alice age1v3umfx80wseytgspner67446gh7jd6mekj0d4yr30sm087agt48stewmsa
  fleet vars keys add alice --ssh-key alice.pub --commit
  fleet vars keys add --recovery --new --out /media/usb/recovery.txt
  fleet vars keys add alice --group admins`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: a.completeHolders(vars.HolderUser),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.keysAdd(cmd.Context(), args, o)
		},
	}
	o.keysOptions.flags(cmd.Flags())
	o.groupOptions.flags(cmd.Flags(), "add to")
	cmd.Flags().StringVar(&o.sshKey, "ssh-key", "", "`FILE` with the public key, an ssh one: id_ed25519.pub")
	cmd.Flags().BoolVar(&o.recovery, "recovery", false, "it is the recovery key, not that of a user")
	cmd.Flags().BoolVar(&o.new, "new", false, "make the recovery key")
	cmd.Flags().StringVar(&o.out, "out", "", "new `FILE` for the private part of the recovery key that is made")
	return cmd
}

func (a *App) keysAdd(ctx context.Context, args []string, o keysAddOptions) error {
	user := ""
	if !o.recovery && len(args) > 0 {
		user, args = args[0], args[1:]
	}
	given := len(args)
	for _, is := range []bool{o.sshKey != "", o.new} {
		if is {
			given++
		}
	}
	usage := func(text string) error { return &codeError{exitUsage, errors.New(text)} }
	switch {
	case !o.recovery && user == "":
		return usage("no user is named: fleet vars keys add USER PUBLICKEY")
	case o.new && !o.recovery:
		return usage("--new makes the recovery key only: users make theirs with `fleet vars keys init` or age-keygen, and tell the public part")
	case o.out != "" && !o.new:
		return usage("--out is for the key that --new makes")
	case o.machine && o.group == "":
		return usage("--machine goes with --group: the key of a machine is made with its secrets")
	case o.group != "" && (o.recovery || o.machine && given > 0):
		return usage("a group takes users, who may bring a key, and machines, which have one")
	case o.group == "" && given != 1 || given > 1:
		return usage("exactly one key is to be given: PUBLICKEY, --ssh-key FILE, or --recovery --new")
	case o.new:
		return a.newRecoveryKey(ctx, o)
	}
	public := strings.Join(args, "")
	if o.sshKey != "" {
		var err error
		if public, err = a.readSSHKey(ctx, o.sshKey); err != nil {
			return err
		}
	}
	return a.changeKeys(ctx, o.keysOptions, func(f *vars.Fleet, k vars.ChangeOptions) (*vars.KeysReport, error) {
		switch {
		case o.recovery:
			return f.AddRecoveryKey(ctx, public, k)
		case o.group != "":
			return f.JoinGroup(ctx, o.group, o.member(user), public, k)
		}
		return f.AddKey(ctx, user, public, k)
	}, "")
}

// readSSHKey reads the one public key of a file. What is no public key is not
// quoted: it may be the private one.
func (a *App) readSSHKey(ctx context.Context, file string) (string, error) {
	data, err := a.readFile(ctx, file)
	if err != nil {
		return "", fmt.Errorf("cannot read the ssh key: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if !strings.HasPrefix(key, "ssh-") || strings.Contains(key, "\n") {
		return "", fmt.Errorf("%s does not hold one public ssh key, which is a line that begins with ssh-ed25519 or ssh-rsa", file)
	}
	return key, nil
}

func (a *App) newRecoveryKey(ctx context.Context, o keysAddOptions) error {
	file := o.out
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(a.Dir, file)
	}
	if file == "" && !a.Streams.CanPrompt() && !o.dryRun {
		return &codeError{exitUsage, errors.New("there is no terminal to show the private part on: name a new file for it with --out")}
	}
	keep := func(public string, private []byte) error {
		lines := secrets.FormatIdentity(public, private)
		if file == "" {
			_, err := fmt.Fprintf(a.Streams.Err, "The recovery key, shown this once. Keep it away from this computer:\n%s", lines)
			return err
		}
		return writeNew(file, lines)
	}
	next := ""
	if file != "" {
		next = "The private part is in " + file + ": take it away from this computer."
	}
	return a.changeKeys(ctx, o.keysOptions, func(f *vars.Fleet, k vars.ChangeOptions) (*vars.KeysReport, error) {
		return f.NewRecoveryKey(ctx, keep, k)
	}, next)
}

// writeNew writes a private file that must not be there.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (a *App) varsKeysRemoveCmd() *cobra.Command {
	var o keysOptions
	var group groupOptions
	var key string
	var recovery bool
	cmd := &cobra.Command{
		Use:   "remove [USER]",
		Short: "Remove an administrator, a key of one, or the recovery key",
		Long: `Remove an administrator, a key of one, or the recovery key. Every file that
could be read with it is encrypted anew with a new data key, all of them or none,
and the key is taken out of .sops.yaml. The values stay known to whoever had the key: standard output lists them, with
the commands that make new ones.

The last administrator cannot be removed, nor your own only way in.

With --group GROUP a user, or with --machine a machine, only leaves that group.`,
		Example: `  fleet vars keys remove alice --dry-run
  fleet vars keys remove alice --commit
  fleet vars keys remove alice --key age1v3umfx80wseytgspner67446gh7jd6mekj0d4yr30sm087agt48stewmsa`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeHolders(vars.HolderUser),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if recovery == (len(args) == 1) {
				return &codeError{exitUsage, errors.New("name one user, or say --recovery")}
			}
			if recovery && key != "" {
				return &codeError{exitUsage, errors.New("--key is for a key of a user")}
			}
			if group.group == "" && group.machine || group.group != "" && (recovery || key != "") {
				return &codeError{exitUsage, errors.New("--group goes with the name of a user or, with --machine, of a machine")}
			}
			return a.changeKeys(ctx, o, func(f *vars.Fleet, k vars.ChangeOptions) (*vars.KeysReport, error) {
				switch {
				case recovery:
					return f.RemoveRecoveryKey(ctx, k)
				case group.group != "":
					return f.LeaveGroup(ctx, group.group, group.member(args[0]), k)
				}
				return f.RemoveKey(ctx, args[0], key, k)
			}, "")
		},
	}
	o.flags(cmd.Flags())
	group.flags(cmd.Flags(), "leave only")
	cmd.Flags().StringVar(&key, "key", "", "remove only this public `KEY` of the user")
	cmd.Flags().BoolVar(&recovery, "recovery", false, "remove the recovery key")
	return cmd
}

func (a *App) varsKeysRotateCmd() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:   "rotate MACHINE",
		Short: "Make a new key for a machine",
		Long: `Make a new age key for a machine, and encrypt everything that the machine reads
to it and no longer to the old one, also in .sops.yaml and the sops files that
you keep beside the values. The machine is not contacted and may be off:
its next update puts the new key in place. Until then it goes on with what it has.

If the old key was disclosed, so are the values that it could read: make them
anew with fleet vars generate MACHINE --regenerate GENERATOR.`,
		Example:           "  fleet vars keys rotate cinnabar --dry-run\n  fleet vars keys rotate cinnabar --commit",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeHolders(vars.HolderMachine),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.changeKeys(ctx, o, func(f *vars.Fleet, k vars.ChangeOptions) (*vars.KeysReport, error) {
				return f.RotateMachineKey(ctx, args[0], k)
			}, fmt.Sprintf("Next: `fleet machines update %[1]s` puts the new key on %[1]s, when it is on. Until then it keeps its old key and the secrets it has; "+
				"its older generations cannot read their secrets with the new one.", args[0]))
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// completeHolders offers the names of those who hold keys of a kind.
func (a *App) completeHolders(kind vars.HolderKind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.offerKeys(cmd, func(list *vars.Keys) []string { return list.Names(kind) })
	}
}

// offerKeys completes by who holds keys.
func (a *App) offerKeys(cmd *cobra.Command, names func(*vars.Keys) []string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	if a.configure(cmd) == nil {
		if values, done, err := a.keys(cmd.Context()); err == nil {
			defer done()
			if list, err := values.ListKeys(cmd.Context()); err == nil {
				offers = names(list)
			}
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

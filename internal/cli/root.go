// Package cli is the command tree of fleet: it turns flags into the options of
// one call into a room below, and what comes back into text, tables and JSON.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/crs58/fleet/internal/config"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// App is what the program knows of the world: everything that a test replaces.
type App struct {
	Streams *term.Streams
	// Getenv and Environ are the environment, Home the user's home directory,
	// Dir the current directory.
	Getenv  func(string) string
	Environ []string
	Home    string
	Dir     string
	Now     func() time.Time
	Version string
	// Hostname is the name of this computer, User that of whoever works at it.
	Hostname, User string
	// Root says that the process may do everything.
	Root bool

	config *config.Config // set before a command runs
	args   []string       // the command line, which completions look at
}

// The groups that commands are listed in.
const (
	groupFleet  = "fleet"
	groupAround = "around"
)

// NewRoot returns the command tree.
func NewRoot(app *App) *cobra.Command {
	root := &cobra.Command{
		Use:   "fleet",
		Short: "Run a fleet of NixOS and nix-darwin machines from one flake",
		Long: `fleet runs a fleet of NixOS and nix-darwin machines from one Nix flake:
inventory, secrets, builds, deploys and verification.

Machines are named the same way everywhere: by name or glob, tag:x,
class:darwin, role:instance/role, joined with & | ! and parentheses.`,
		Example: `  fleet init --template demo my-fleet
  fleet vars generate cinnabar
  fleet host bootstrap argentum
  fleet machines update --all
  fleet verify`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyFlags(cmd); err != nil {
				return err
			}
			return app.configure(cmd)
		},
	}
	root.SetIn(app.Streams.In)
	root.SetOut(app.Streams.Out)
	root.SetErr(app.Streams.Err)
	root.SetHelpFunc(writeHelp)
	root.SetUsageFunc(writeUsage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	config.Flags(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: groupFleet, Title: "The fleet:"}, &cobra.Group{ID: groupAround, Title: "Around it:"})
	root.SetHelpCommand(helpCmd())
	root.SetCompletionCommandGroupID(groupAround)
	root.AddCommand(
		app.hostCmd(), app.varsCmd(), app.machinesCmd(), app.inventoryCmd(), app.verifyCmd(),
		app.initCmd(), app.versionCmd(), exitCodesTopic(),
	)
	completeFlags(root)
	return root
}

// noEmptyFlags refuses a flag that is given and empty: a shell's variable that is
// not set, and the command would do something else than was meant.
func noEmptyFlags(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		kind, value := f.Value.Type(), f.Value.String()
		if kind == "string" && value == "" || kind == "stringSlice" && value == "[]" {
			err = usageError(cmd, fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name))
		}
	})
	return err
}

// configure reads the settings, from fleet.yaml beside the flake among others.
func (a *App) configure(cmd *cobra.Command) error {
	given, _ := cmd.Flags().GetString("flake")
	dir := a.Dir
	if _, folder, err := findFlake(a, given); err == nil && folder != "" {
		dir = folder
	}
	c, err := config.Load(cmd.Flags(), dir, a.Getenv, a.Home)
	if err != nil {
		return usageError(cmd, err)
	}
	a.config = c
	a.Streams.Quiet = c.Quiet || c.JSON
	return nil
}

// Main runs fleet with args and returns its exit code.
func Main(ctx context.Context, app *App, args []string) int {
	app.args = args
	root := NewRoot(app)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	code := exitCode(ctx, err)
	report(app, cmd, err)
	return code
}

// parent returns a command that only holds others.
func parent(use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, GroupID: groupFleet,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// onlyCommands refuses an argument that names no command below cmd.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return usageError(cmd, fmt.Errorf("%s has no command %s%s", cmd.CommandPath(), args[0], flake.DidYouMean(args[0], known)))
}

// writeJSON prints v on standard output, for people to read too.
func (a *App) writeJSON(v any) error { return encode(a.Streams.Out, v) }

// event prints, with --json, one line of what long work does.
func (a *App) event(v any) { _ = a.line("event", v) }

// result prints, with --json, the last line of long work.
func (a *App) result(v any) error { return a.line("result", v) }

func (a *App) line(kind string, v any) error {
	e := json.NewEncoder(a.Streams.Out)
	e.SetEscapeHTML(false)
	return e.Encode(map[string]any{kind: v})
}

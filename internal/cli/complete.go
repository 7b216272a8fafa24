package cli

import (
	"io"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// quietly opens the flake for a completion; nil means that nothing is offered.
func (a *App) quietly(cmd *cobra.Command) *session {
	if err := a.configure(cmd); err != nil {
		return nil
	}
	a.Streams.Err, a.Streams.Quiet = io.Discard, true
	s, err := a.open(cmd.Context())
	if err != nil {
		return nil
	}
	return s
}

// fromInventory completes by what the inventory has.
func (a *App) fromInventory(cmd *cobra.Command, of func(*flake.Inventory) []string) ([]string, cobra.ShellCompDirective) {
	if s := a.quietly(cmd); s != nil {
		return of(&s.fleet.Inventory), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeMachines offers what a selection can name.
func (a *App) completeMachines(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.fromInventory(cmd, inventory.Terms)
}

// completeMachineNames offers machines and nothing else.
func (a *App) completeMachineNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.fromInventory(cmd, inventory.All)
}

// completeRoleList offers roles, after the commas before as well.
func (a *App) completeRoleList(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	roles, _ := a.fromInventory(cmd, inventory.Roles)
	return completeList(roles, prefix)
}

// completeList offers words for the end of a list with commas.
func completeList(words []string, prefix string) ([]string, cobra.ShellCompDirective) {
	before := prefix[:strings.LastIndex(prefix, ",")+1]
	for i := range words {
		words[i] = before + words[i]
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// fileFlags are the flags that name a file, and what else the shell offers by
// itself.
var fileFlags = map[string]bool{"answers": true, "cache-dir": true, "directory": true, "flake": true, "html": true, "out": true, "out-link": true, "ssh-key": true, "state-dir": true}

// completeFlags has no flag below cmd complete to files that is not for one.
func completeFlags(cmd *cobra.Command) {
	complete := func(f *pflag.Flag) {
		if _, known := cmd.GetFlagCompletionFunc(f.Name); !known && !fileFlags[f.Name] {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	}
	cmd.LocalFlags().VisitAll(complete)
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

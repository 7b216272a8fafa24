package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

func (a *App) inventoryCmd() *cobra.Command {
	cmd := parent("inventory", "Look at what the flake says about the fleet",
		"Look at what the flake says about the fleet: machines, tags, services. No machine is evaluated for it.",
		"  fleet inventory show")
	cmd.AddCommand(a.inventoryShowCmd())
	return cmd
}

func (a *App) inventoryShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show machines, tags and the instances of services",
		Long:  "Show the fleet's machines with class, tags and target, and the instances of services with the machines in each role.",
		Example: `  fleet inventory show
  fleet inventory show --json | jq .machines`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if a.config.JSON {
				return a.writeJSON(s.fleet.Inventory)
			}
			return s.showInventory()
		},
	}
}

func (s *session) showInventory() error {
	inv := &s.fleet.Inventory
	out := s.Streams.Out
	title := cmp.Or(inv.Meta.Name, s.fleet.Ref)
	if inv.Meta.Description != "" {
		title += " — " + inv.Meta.Description
	}
	fmt.Fprintf(out, "%s\n%s, %s\n\n", term.Clean(title), plural(len(inv.Machines), "machine"), plural(len(inv.Instances), "instance"))
	if err := s.Streams.Table(machineTable(inv, slices.Sorted(maps.Keys(inv.Machines)))); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(inv.Instances)) {
		inst := inv.Instances[name]
		module := inst.Module.Name
		if inst.Module.Input != "" {
			module = inst.Module.Input + "/" + module
		}
		fmt.Fprintf(out, "\n%s (module %s)\n", term.Clean(name), term.Clean(module))
		roles := term.Table{Header: []string{"  ROLE", "MACHINE", "BY"}}
		for _, role := range slices.Sorted(maps.Keys(inst.Roles)) {
			members := inst.Roles[role].Machines
			for _, m := range slices.Sorted(maps.Keys(members)) {
				roles.Add("  "+role, m, strings.Join(members[m].Via, ", "))
			}
		}
		if err := s.Streams.Table(&roles); err != nil {
			return err
		}
	}
	return nil
}

func machineTable(inv *flake.Inventory, names []string) *term.Table {
	t := &term.Table{Header: []string{"MACHINE", "CLASS", "TARGET", "TAGS", "DESCRIPTION"}}
	for _, name := range names {
		m := inv.Machines[name]
		// The tags that every machine has say nothing here.
		tags := slices.DeleteFunc(slices.Clone(m.Tags), func(t string) bool { return t == "all" || t == string(m.Class) })
		t.Add(name, string(m.Class), cmp.Or(m.Deploy.TargetHost, "–"), strings.Join(tags, " "), m.Description)
	}
	return t
}

// plural is "1 machine" or "2 machines".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

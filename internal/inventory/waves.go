package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// Order says in which order machines are to be changed, beside what the services
// say of their roles.
type Order struct {
	// Roles, where there are any, take the place of what the services say: a
	// machine comes with the first of its roles in the list, those with none of
	// them last. A role is ROLE, INSTANCE/ROLE or MODULE/ROLE.
	Roles []string
	// Last is a machine that comes after all others: that of whoever is at work.
	Last string
}

// Waves gives each machine the number of its wave, from 0 on without gaps: one
// after another are the roles, NixOS before darwin within them, and then the
// machine that is to be last.
func Waves(inv *flake.Inventory, names []string, order Order) (map[string]int, error) {
	levels, err := roleLevels(inv, names, order.Roles)
	if err != nil {
		return nil, err
	}
	type key struct{ last, level, darwin int }
	keys := map[string]key{}
	for _, name := range names {
		k := key{level: levels[name]}
		if name == order.Last {
			k.last = 1
		}
		if inv.Machines[name].Class == flake.Darwin {
			k.darwin = 1
		}
		keys[name] = k
	}
	sorted := slices.SortedFunc(maps.Values(keys), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.level, b.level), cmp.Compare(a.darwin, b.darwin))
	})
	sorted = slices.Compact(sorted)
	waves := map[string]int{}
	for name, k := range keys {
		waves[name] = slices.Index(sorted, k)
	}
	return waves, nil
}

// roleLevels says for each machine how many machines, one after another, come
// before it for their roles.
func roleLevels(inv *flake.Inventory, names, roles []string) (map[string]int, error) {
	if len(roles) > 0 {
		return listedLevels(inv, names, roles)
	}
	before := map[string]set{} // machine → those that come before it
	for _, name := range names {
		before[name] = set{}
	}
	for _, instance := range inv.Instances {
		for _, role := range instance.Roles {
			for _, later := range role.Before {
				if instance.Roles[later] == nil {
					continue
				}
				for b := range instance.Roles[later].Machines {
					for a := range role.Machines {
						// Who has both roles comes with the first of them.
						if _, both := role.Machines[b]; !both && before[b] != nil && before[a] != nil {
							before[b][a] = true
						}
					}
				}
			}
		}
	}
	levels := map[string]int{}
	for level := 0; len(before) > 0; level++ {
		var free []string
		for name, others := range before {
			if len(others) == 0 {
				free = append(free, name)
			}
		}
		if len(free) == 0 { // a circle of services: no order is right, and any will do
			free = slices.Collect(maps.Keys(before))
		}
		for _, name := range free {
			levels[name] = level
			delete(before, name)
		}
		for _, others := range before {
			for _, name := range free {
				delete(others, name)
			}
		}
	}
	return levels, nil
}

func listedLevels(inv *flake.Inventory, names, roles []string) (map[string]int, error) {
	levels := map[string]int{}
	for _, name := range names {
		levels[name] = len(roles)
	}
	for i, wanted := range slices.Backward(roles) {
		known := false
		for name, instance := range inv.Instances {
			for role, members := range instance.Roles {
				if wanted != role && wanted != name+"/"+role && wanted != instance.Module.Name+"/"+role {
					continue
				}
				known = true
				for machine := range members.Machines {
					if _, selected := levels[machine]; selected {
						levels[machine] = i
					}
				}
			}
		}
		if !known {
			return nil, fmt.Errorf("no instance has a role %s%s", wanted, flake.DidYouMean(wanted, Roles(inv)))
		}
	}
	return levels, nil
}

// Roles lists the roles of all instances, sorted: ROLE and INSTANCE/ROLE.
func Roles(inv *flake.Inventory) []string {
	var names []string
	for name, instance := range inv.Instances {
		for role := range instance.Roles {
			names = append(names, role, name+"/"+role)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}

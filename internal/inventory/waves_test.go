package inventory

import (
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

func TestWaves(t *testing.T) {
	role := func(before string, machines ...string) *flake.Role {
		r := &flake.Role{Machines: map[string]*flake.RoleMachine{}, Before: strings.Fields(before)}
		for _, m := range machines {
			r.Machines[m] = &flake.RoleMachine{}
		}
		return r
	}
	inv := &flake.Inventory{
		Machines: map[string]flake.Machine{},
		Instances: map[string]*flake.Instance{
			"net": {Module: flake.ModuleRef{Name: "zerotier"}, Roles: map[string]*flake.Role{
				"controller": role("peer gone", "c"), "peer": role("", "c", "n1", "n2", "d1"),
			}},
			"backup": {Module: flake.ModuleRef{Name: "borg"}, Roles: map[string]*flake.Role{
				"server": role("client", "n1"), "client": role("", "n2", "d1", "other"),
			}},
		},
	}
	for name, class := range map[string]flake.Class{
		"c": flake.NixOS, "n1": flake.NixOS, "n2": flake.NixOS, "plain": flake.NixOS, "d1": flake.Darwin, "d2": flake.Darwin,
	} {
		inv.Machines[name] = flake.Machine{Name: name, Class: class}
	}
	for _, test := range []struct {
		names string
		order Order
		want  string
	}{
		{names: "", want: ""},
		{names: "plain", want: "plain"},
		{names: "c d1 d2 n1 n2 plain", want: "c plain|d2|n1|n2|d1"},
		{names: "n2 d1 plain", want: "n2 plain|d1"}, // whom they wait for is not selected
		{names: "c d1 d2 n1 n2 plain", order: Order{Last: "c"}, want: "plain|d2|n1|n2|d1|c"},
		{names: "c d1 n1 n2 plain", order: Order{Roles: []string{"backup/client", "borg/server"}}, want: "n2|d1|n1|c plain"},
		{names: "c n1 plain", order: Order{Roles: []string{"zerotier/controller"}}, want: "c|n1 plain"},
	} {
		names := strings.Fields(test.names)
		waves, err := Waves(inv, names, test.order)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		groups := make([][]string, len(names))
		for _, name := range names {
			groups[waves[name]] = append(groups[waves[name]], name)
		}
		var texts []string
		for _, g := range groups {
			if len(g) > 0 {
				texts = append(texts, strings.Join(g, " "))
			}
		}
		if got := strings.Join(texts, "|"); got != test.want {
			t.Errorf("%s in the order %+v: %s, want %s", test.names, test.order, got, test.want)
		}
	}
	if _, err := Waves(inv, []string{"c"}, Order{Roles: []string{"controler"}}); err == nil || !strings.Contains(err.Error(), "controller") {
		t.Errorf("an unknown role: %v", err)
	}

	// Two services that contradict each other give an order all the same.
	inv.Instances["circle"] = &flake.Instance{Roles: map[string]*flake.Role{"a": role("b", "n2"), "b": role("", "c")}}
	if waves, err := Waves(inv, []string{"c", "n2"}, Order{}); err != nil || waves["c"] != 0 || waves["n2"] != 0 {
		t.Errorf("a circle: %v, %v", waves, err)
	}
}

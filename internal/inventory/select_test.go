package inventory

import (
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
)

func fixture() *flake.Inventory {
	machine := func(name string, class flake.Class, tags ...string) flake.Machine {
		return flake.Machine{Name: name, Class: class, Tags: append(tags, "all", string(class))}
	}
	return &flake.Inventory{
		Machines: map[string]flake.Machine{
			"cinnabar":  machine("cinnabar", flake.NixOS, "vps", "controller"),
			"electrum":  machine("electrum", flake.NixOS, "vps"),
			"stibnite":  machine("stibnite", flake.Darwin, "workstation"),
			"argentum":  machine("argentum", flake.Darwin, "workstation"),
			"argentum2": machine("argentum2", flake.NixOS, "spare"),
		},
		Instances: map[string]*flake.Instance{
			"zerotier-local": {
				Module: flake.ModuleRef{Name: "zerotier"},
				Roles: map[string]*flake.Role{
					"controller": {Machines: map[string]*flake.RoleMachine{"cinnabar": {}}},
					"peer":       {Machines: map[string]*flake.RoleMachine{"argentum": {}, "stibnite": {}}},
				},
			},
		},
	}
}

func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		exprs []string
		want  string
		err   string
	}{
		{exprs: []string{"cinnabar"}, want: "cinnabar"},
		{exprs: []string{"stibnite", "cinnabar"}, want: "cinnabar stibnite"},
		{exprs: []string{"arg*"}, want: "argentum argentum2"},
		{exprs: []string{"tag:vps"}, want: "cinnabar electrum"},
		{exprs: []string{"class:darwin"}, want: "argentum stibnite"},
		{exprs: []string{"role:zerotier/peer"}, want: "argentum stibnite"},
		{exprs: []string{"role:zerotier-local/*"}, want: "argentum cinnabar stibnite"},
		{exprs: []string{"tag:vps & !cinnabar"}, want: "electrum"},
		{exprs: []string{"cinnabar | tag:workstation & arg*"}, want: "argentum cinnabar"},
		{exprs: []string{"(cinnabar | tag:workstation) & !(arg*)"}, want: "cinnabar stibnite"},
		{exprs: []string{"!!cinnabar"}, want: "cinnabar"},
		{exprs: []string{"all"}, err: "there is no machine all"},
		{exprs: []string{"cinabar"}, err: "did you mean cinnabar?"},
		{exprs: []string{"tag:workstaton"}, err: "did you mean workstation?"},
		{exprs: []string{"class:bsd"}, err: "the classes are darwin, nixos"},
		{exprs: []string{"role:zerotier"}, err: "wants an instance and a role"},
		{exprs: []string{"role:zerotier/moon"}, err: "no machine has role zerotier/moon"},
		{exprs: []string{"os:linux"}, err: `"os:" is not a kind of selection`},
		{exprs: []string{"tag:vps & class:darwin"}, err: "selects no machine"},
		{exprs: []string{"cinnabar electrum"}, err: "join two parts with & or |"},
		{exprs: []string{"(cinnabar"}, err: "not closed"},
		{exprs: []string{"cinnabar &"}, err: "it ends where"},
		{exprs: []string{"& cinnabar"}, err: `"&" is not expected`},
		{exprs: []string{""}, err: "it is empty"},
		{exprs: nil, err: "say --all"},
	} {
		t.Run(strings.Join(tt.exprs, ","), func(t *testing.T) {
			got, err := Select(fixture(), tt.exprs...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, %v; want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is offered selects something.
func TestTerms(t *testing.T) {
	inv := fixture()
	inv.Instances["zerotier-local"].Roles["moon"] = &flake.Role{}
	terms := Terms(inv)
	for _, term := range terms {
		if _, err := Select(inv, term); err != nil {
			t.Errorf("%s: %v", term, err)
		}
	}
	want := "argentum argentum2 cinnabar electrum stibnite tag:all tag:controller tag:darwin tag:nixos tag:spare tag:vps tag:workstation" +
		" class:darwin class:nixos role:zerotier-local/controller role:zerotier-local/peer"
	if got := strings.Join(terms, " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ exprs, want []string }{
		{[]string{"cinnabar", " web1 "}, []string{"cinnabar", "web1"}},
		{[]string{"cinnabar", "web*"}, nil},
		{[]string{"tag:x"}, nil},
		{[]string{"!cinnabar"}, nil},
		{[]string{"a | b"}, nil},
		{[]string{"("}, nil},
		{nil, nil},
	} {
		if diff := cmp.Diff(tt.want, Names(tt.exprs)); diff != "" {
			t.Errorf("%q: %s", tt.exprs, diff)
		}
	}
}

func FuzzSelect(f *testing.F) {
	for _, seed := range []string{"a", "tag:x & !y", "((a|b))", "role:x/y", "[", "!" + strings.Repeat("(", 200)} {
		f.Add(seed)
	}
	inv := fixture()
	f.Fuzz(func(t *testing.T, expr string) {
		names, err := Select(inv, expr)
		if err == nil && len(names) == 0 {
			t.Fatal("an empty selection must be an error")
		}
		for _, n := range names {
			if _, ok := inv.Machines[n]; !ok {
				t.Fatalf("%q is no machine", n)
			}
		}
	})
}

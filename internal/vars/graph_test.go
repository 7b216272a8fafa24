package vars

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGraphOrder(t *testing.T) {
	g, err := NewGraph(details(map[string][]*genT{
		"b": {needs(gen("cert", ""), "key", "ca"), gen("key", ""), shared(gen("ca", ""))},
		"a": {needs(gen("cert", ""), "ca"), shared(gen("ca", "")), gen("alone", "")},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range g.Order() {
		got = append(got, id.String())
	}
	want := []string{"ca (shared)", "alone on a", "cert on a", "key on b", "cert on b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := g.Node(ID{Name: "ca"}).Machines; !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ca is declared by %v", got)
	}
}

func TestGraphErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		machines map[string][]*genT
		want     []string
	}{
		{
			"unknown dependency", one(needs(gen("cert", ""), "opnssh-ca"), gen("openssh-ca", "")),
			[]string{"generator cert on web depends on opnssh-ca, which neither its machine declares nor any selected one shares, did you mean openssh-ca?"},
		},
		{
			"of another machine",
			map[string][]*genT{"a": {needs(gen("x", ""), "y")}, "b": {gen("y", "")}},
			[]string{"generator x on a depends on y, which neither"},
		},
		{
			"circle", one(needs(gen("x", ""), "y"), needs(gen("y", ""), "z"), needs(gen("z", ""), "y")),
			[]string{"in a circle: y on web → z on web → y on web; remove one"},
		},
		{"itself", one(needs(gen("x", ""), "x")), []string{"in a circle: x on web → x on web"}},
		{
			"shared needs one machine's",
			map[string][]*genT{"a": {needs(shared(gen("x", "")), "y")}, "b": {needs(shared(gen("x", "")), "y"), gen("y", "")}},
			[]string{"shared generator x depends on y, which has a value of its own on b: set share = true there too"},
		},
		{
			"shared differently",
			map[string][]*genT{
				"a": {asks(valid(shared(gen("x", "", "k", "p:public", "only-a")), "1"), "q", false)},
				"b": {needs(asks(valid(shared(gen("x", "", "k:local", "p")), "2"), "r", true), "y"), shared(gen("y", ""))},
			},
			[]string{"machines a and b define the shared generator x differently (first/second): deploy of file k (true/false), file only-a (only in the first), secret of file p (false/true), file r (only in the second), prompt q (only in the first), prompt r (only in the second), dependencies (none/y), validation; give"},
		},
		{
			"all at once", one(needs(gen("x", ""), "p"), needs(gen("y", ""), "q")),
			[]string{"generator x on web depends on p", "generator y on web depends on q"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewGraph(details(tt.machines))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestSharedMayDifferInPlace(t *testing.T) {
	a, b := shared(gen("x", "", "k")), shared(gen("x", "", "k"))
	b.Files["k"].Owner, b.Files["k"].Mode, b.Files["k"].Path = "nginx", "0440", "/elsewhere"
	if _, err := NewGraph(details(map[string][]*genT{"a": {a}, "b": {b}})); err != nil {
		t.Error(err)
	}
}

// Whatever the graph, each generator comes once and after those it depends on,
// and the order does not depend on chance.
func FuzzGraphOrder(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		machines := randomMachines(rand.New(rand.NewPCG(seed, 0)))
		g, err := NewGraph(details(machines))
		if err != nil {
			return // a circle, or shared on one's own
		}
		again, err := NewGraph(details(machines))
		if err != nil || !slices.Equal(g.Order(), again.Order()) {
			t.Fatalf("two orders: %v and %v, %v", g.Order(), again.Order(), err)
		}
		at := map[ID]int{}
		for i, id := range g.Order() {
			if _, twice := at[id]; twice {
				t.Fatalf("%s comes twice", id)
			}
			at[id] = i
		}
		if len(at) != len(g.nodes) {
			t.Fatalf("%d of %d are ordered", len(at), len(g.nodes))
		}
		for id, i := range at {
			for _, dep := range g.nodes[id].DependsOn {
				if at[dep] >= i {
					t.Errorf("%s comes before %s", id, dep)
				}
			}
		}
	})
}

// randomMachines makes up to four machines; a generator depends on others with
// any number, so there are circles among them, but not often.
func randomMachines(r *rand.Rand) map[string][]*genT {
	machines := map[string][]*genT{}
	share := map[string]bool{}
	for i := range 8 {
		share[fmt.Sprintf("g%d", i)] = r.IntN(3) == 0
	}
	for m := range 1 + r.IntN(4) {
		name := fmt.Sprintf("m%d", m)
		for i := range 8 {
			g := gen(fmt.Sprintf("g%d", i), "", "f", "p:public")
			for d := range 8 {
				if d < i && r.IntN(4) == 0 || r.IntN(200) == 0 {
					g.Dependencies = append(g.Dependencies, fmt.Sprintf("g%d", d))
				}
			}
			if share[g.Name] {
				// All must declare it alike.
				g.Share, g.Dependencies = true, nil
			}
			machines[name] = append(machines[name], g)
		}
	}
	return machines
}

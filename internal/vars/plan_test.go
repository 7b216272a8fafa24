package vars

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planned makes a plan of generators of which some files are present.
func planned(t *testing.T, machines map[string][]*genT, present map[ID][]string, req Request) (*Plan, error) {
	t.Helper()
	g, err := NewGraph(details(machines))
	if err != nil {
		t.Fatal(err)
	}
	now := Situation{Generators: map[ID]GeneratorState{}, MachineKeys: map[string]KeyState{}}
	for id := range g.nodes {
		state := GeneratorState{Present: map[string]bool{}}
		for _, file := range present[id] {
			state.Present[file] = true
		}
		now.Generators[id] = state
	}
	for machine := range machines {
		now.MachineKeys[machine] = KeyState{}
	}
	return NewPlan(g, now, req)
}

func TestPlanText(t *testing.T) {
	web := func(name string) ID { return ID{Machine: "web", Name: name} }
	machines := map[string][]*genT{
		"web": {
			shared(gen("ca", "", "key:local")),
			needs(gen("cert", "", "c"), "ca"),
			needs(gen("leaf", "", "l"), "cert"),
			asks(asks(gen("wifi", "", "hash"), "password", true), "name", false),
			gen("part", "", "a", "b"),
			needs(gen("after-part", "", "x"), "part"),
			gen("public", "", "p:public"),
		},
		"db":  {shared(gen("ca", "", "key:local"))},
		"new": {gen("token", "", "t")},
	}
	present := map[ID][]string{web("cert"): {"c"}, web("leaf"): {"l"}, web("part"): {"a"}, web("wifi"): {"password", "hash"}}
	for _, tt := range []struct {
		name string
		req  Request
		want string
	}{
		{"all", Request{}, `make a key for
  new, web
run
  ca (shared by db, web): makes key
  token on new: makes t
  public on web: makes p
refuse
  part on web: b is missing while a exists; ` + "`--keep part` makes only b, which need not belong to what is there; `--regenerate part`" + ` makes all its values anew and replaces a
  after-part on web: it depends on part on web, which is refused
note
  cert on web was made from ca (shared) and keeps its values; ` + "`--regenerate ca,cert`" + ` renews both
`},
		{"regenerate", Request{Regenerate: []string{"cert", "ca", "wifi"}, Generators: []string{"cert"}}, `make a key for
  web
run
  ca (shared by db, web): makes key
  cert on web: REPLACES c; after ca (shared)
  wifi on web: REPLACES hash, password; asks for name, password (kept)
note
  leaf on web was made from cert on web and keeps its values; ` + "`--regenerate cert,leaf`" + ` renews both
`},
		{"keep", Request{Keep: []string{"part"}, Generators: []string{"after-part"}}, `make a key for
  web
run
  part on web: makes b: KEEPS a, which need not belong to it
  after-part on web: makes x; after part on web
`},
		{"only what is needed", Request{Generators: []string{"public"}}, "make a key for\n  web\nrun\n  public on web: makes p\n"},
		{"a dependency that has its values", Request{Generators: []string{"leaf"}}, "make a key for\n  web\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := planned(t, machines, present, tt.req)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if tt.name == "only what is needed" {
				want = "run\n  public on web: makes p\n"
			}
			if diff := cmp.Diff(want, p.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := planned(t, machines, nil, Request{Regenerate: []string{"wify"}}); err == nil || !strings.Contains(err.Error(), "no selected machine has a generator wify, did you mean wifi?") {
		t.Errorf("got %v", err)
	}
	p, err := planned(t, one(gen("x", "", "f:public")), map[ID][]string{web("x"): {"f"}}, Request{})
	if err != nil || !p.Empty() || p.String() != "nothing to do: every value is there\n" {
		t.Errorf("got %v, %v", p, err)
	}
}

// Whatever is there: nothing that exists is replaced unless it was named, what
// runs finds its dependencies made, and all that is missing runs or is refused.
func FuzzPlan(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		g, err := NewGraph(details(randomMachines(r)))
		if err != nil {
			return
		}
		now := Situation{Generators: map[ID]GeneratorState{}}
		for _, id := range g.order {
			state := GeneratorState{Present: map[string]bool{"f": r.IntN(2) == 0, "p": r.IntN(2) == 0}}
			for _, machine := range append([]string{""}, g.nodes[id].Machines...) {
				if machine != id.Machine && !state.Present["f"] && r.IntN(3) == 0 {
					value := Placed{Secret: r.IntN(5) > 0, Path: machine + "/" + id.Name, Same: r.IntN(2)}
					state.Elsewhere = append(state.Elsewhere, Placement{Machine: machine, Values: map[string]Placed{"f": value}})
				}
			}
			now.Generators[id] = state
		}
		now.Whole = r.IntN(2) == 0
		req := Request{}
		for _, name := range g.names() {
			if r.IntN(6) == 0 {
				req.Regenerate = append(req.Regenerate, name)
			}
			if r.IntN(3) == 0 {
				req.Generators = append(req.Generators, name)
			}
		}
		for _, name := range g.names() {
			if r.IntN(4) == 0 && !slices.Contains(req.Regenerate, name) {
				req.Keep = append(req.Keep, name)
			}
		}
		p, err := NewPlan(g, now, req)
		if err != nil {
			t.Fatal(err)
		}
		done := map[ID]bool{}
		refused := map[ID]bool{}
		for _, refusal := range p.Refused {
			refused[refusal.ID] = true
		}
		moved := map[ID]bool{}
		for _, move := range p.Moves {
			moved[move.ID] = true
			if refused[move.ID] || slices.Contains(req.Regenerate, move.Name) || !slices.Equal(move.Files, []string{"f"}) {
				t.Errorf("%+v moves", move)
			}
		}
		for _, removal := range p.Removes {
			for _, id := range removal.after {
				if !moved[id] && !slices.Contains(req.Regenerate, id.Name) {
					t.Errorf("%s is removed, and %s has neither moved nor was made anew", removal.Path, id)
				}
			}
		}
		for _, step := range p.Steps {
			if len(step.Replaces) > 0 && !slices.Contains(req.Regenerate, step.Name) {
				t.Errorf("%s replaces %v and was not named", step.ID, step.Replaces)
			}
			for file := range g.nodes[step.ID].Def.Files {
				is := func(list []string) bool { return slices.Contains(list, file) }
				present := now.Generators[step.ID].Present[file] || file == "f" && len(now.Generators[step.ID].Elsewhere) > 0
				if present == is(step.Missing) || present && is(step.Replaces) == is(step.Keeps) {
					t.Errorf("%s of %s is present: %t, and the step is %+v", file, step.ID, present, step)
				}
			}
			for _, dep := range g.nodes[step.ID].DependsOn {
				if state := now.Generators[dep]; !done[dep] && !((state.Present["f"] || moved[dep]) && state.Present["p"]) {
					t.Errorf("%s runs and %s has no values", step.ID, dep)
				}
			}
			done[step.ID] = true
		}
		for _, id := range g.order {
			asked := len(req.Generators) == 0 || slices.Contains(req.Generators, id.Name) || slices.Contains(req.Regenerate, id.Name) || slices.Contains(req.Keep, id.Name)
			state := now.Generators[id]
			if asked && !((state.Present["f"] || moved[id]) && state.Present["p"]) && !done[id] && !refused[id] {
				t.Errorf("%s has missing values and neither runs nor is refused", id)
			}
		}
	})
}

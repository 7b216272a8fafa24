package deploy

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed script/generations.sh
var generationsScript string

// Generation is one generation of a machine's system profile.
type Generation struct {
	Number int    `json:"number"`
	System string `json:"system"`
	// Created is when the generation was made, by the machine's clock.
	Created time.Time `json:"created"`
	// Version is that of NixOS or nix-darwin, Revision the commit of the flake,
	// where the system tells.
	Version  string `json:"version,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Gone tells that the store has not got its system any more.
	Gone bool `json:"gone,omitempty"`
	// Current is the one that the profile leads to.
	Current bool `json:"current"`
	// Running and Booted are for the systems that run and that were booted.
	Running bool `json:"running"`
	Booted  bool `json:"booted"`
}

// Generations are those of a machine, oldest first.
type Generations struct {
	// System runs now; it may be none of the generations.
	System string       `json:"system,omitempty"`
	List   []Generation `json:"generations"`
}

// Find gives a generation by its number.
func (gs Generations) Find(number int) (Generation, bool) {
	i := slices.IndexFunc(gs.List, func(g Generation) bool { return g.Number == number })
	if i < 0 {
		return Generation{}, false
	}
	return gs.List[i], true
}

// Current is the generation that the profile leads to, if there is one.
func (gs Generations) Current() (Generation, bool) {
	i := slices.IndexFunc(gs.List, func(g Generation) bool { return g.Current })
	if i < 0 {
		return Generation{}, false
	}
	return gs.List[i], true
}

// Running tells whether one of them runs.
func (gs Generations) Running() bool {
	return slices.ContainsFunc(gs.List, func(g Generation) bool { return g.Running })
}

// mark says which generations the machine is at.
func (gs *Generations) mark(current int, booted string) {
	slices.SortFunc(gs.List, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	for i := range gs.List {
		g := &gs.List[i]
		g.Current = g.Number == current
		g.Running = g.System == gs.System
		g.Booted = g.System == booted
	}
}

// MachineGenerations is the generations of one machine of many.
type MachineGenerations struct {
	Result
	Generations
}

// Generations asks every machine for its generations, at once, and changes
// nothing.
func (d *Deployer) Generations(ctx context.Context, machines []Machine) []MachineGenerations {
	list := make([]MachineGenerations, len(machines))
	each(machines, func(i int, m Machine) {
		list[i].List = []Generation{}
		list[i].Result = d.ask(ctx, m, func(ctx context.Context, t Target) (err error) {
			list[i].Generations, err = t.Generations(ctx)
			return err
		})
	})
	slices.SortFunc(list, func(a, b MachineGenerations) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

// ask reaches a machine and finds something out about it, within the time for
// one look.
func (d *Deployer) ask(ctx context.Context, m Machine, look func(context.Context, Target) error) Result {
	r := Result{Machine: m.Name, Target: m.Address, State: Done}
	d.emit(m.Name, Reach, Started, "")
	err := d.during(ctx, Reach, func() error {
		t, err := d.connect(ctx, m)
		if err != nil {
			return err
		}
		r.Target = t.String()
		looking, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		return look(looking, t)
	})
	if err != nil {
		r = r.fail(ctx, Reach, err)
	}
	return d.conclude(r)
}

func (t *scripted) Generations(ctx context.Context) (Generations, error) {
	out, err := t.output(ctx, generationsScript, nil)
	if err != nil {
		return Generations{}, fmt.Errorf("list the generations of %s: %w", t.name, err)
	}
	gs, err := parseGenerations(out)
	if err != nil {
		return Generations{}, fmt.Errorf("list the generations of %s: %w", t.name, err)
	}
	return gs, nil
}

// parseGenerations reads what generations.sh prints.
func parseGenerations(text string) (Generations, error) {
	gs := Generations{List: []Generation{}}
	current, booted, ran := 0, "", false
	g := &Generation{} // of what comes before the first
	for name, value := range pairs(text) {
		switch name {
		case "os":
			ran = true
		case "system":
			gs.System = value
		case "booted":
			booted = value
		case "profile":
			current = generationNumber(value)
		case "generation":
			g = &Generation{}
			if n := generationNumber(value); n > 0 {
				gs.List = append(gs.List, Generation{Number: n})
				g = &gs.List[len(gs.List)-1]
			}
		case "out":
			g.System = value
		case "gone":
			g.Gone = true
		case "created":
			g.Created = parseTime(value)
		case "version":
			g.Version = value
		case "revision":
			g.Revision = value
		}
	}
	if !ran {
		return Generations{}, notRun(text)
	}
	gs.mark(current, booted)
	return gs, nil
}

// Generations reads the links of the folder. The revision of a system lies behind
// links that lead out of the folder; it stays unknown.
func (t *rootTarget) Generations(context.Context) (Generations, error) {
	gs := Generations{List: []Generation{}}
	if t.root == nil {
		return gs, nil
	}
	entries, err := fs.ReadDir(t.root.FS(), rel(profilesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Generations{}, fmt.Errorf("list the generations in %s: %w", t.path, err)
	}
	for _, entry := range entries {
		g := Generation{Number: generationNumber(entry.Name())}
		if g.Number == 0 {
			continue
		}
		link := rel(path.Join(profilesDir, entry.Name()))
		if g.System, err = t.root.Readlink(link); err != nil {
			continue // removed meanwhile, or no link at all
		}
		if info, err := t.root.Lstat(link); err == nil {
			g.Created = info.ModTime().UTC()
		}
		_, err = t.root.Lstat(rel(g.System))
		g.Gone = err != nil
		for _, name := range []string{"nixos-version", "darwin-version"} {
			if text, err := t.root.ReadFile(rel(path.Join(g.System, name))); err == nil {
				g.Version = firstLine(string(text))
			}
		}
		gs.List = append(gs.List, g)
	}
	gs.System, _ = t.root.Readlink(rel(currentSystem))
	booted, _ := t.root.Readlink(rel(bootedSystem))
	link, _ := t.root.Readlink(rel(profile))
	gs.mark(generationNumber(link), booted)
	return gs, nil
}

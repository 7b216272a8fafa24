package deploy

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/deploy/units"
)

//go:embed script/compare.sh
var compareScript string

// Diff is what an update would change on one machine.
type Diff struct {
	Result
	// From runs now, as generation Generation if the profile leads there; To is
	// the system that is declared. They are the same where nothing would change.
	From       string `json:"from,omitempty"`
	To         string `json:"to,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// Packages are those that differ.
	Packages []Package `json:"packages"`
	// Before and After are the sizes of both systems with all that they need.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
	// Copy is what the machine has not got yet.
	Copy CopySize `json:"copy"`
	// Units are nil where the machine cannot tell what runs.
	Units *units.Changes `json:"units,omitempty"`
	// Reboot names what only a reboot brings up, such as kernel, and what NixOS
	// refuses to change without one (system.switch.inhibitors).
	Reboot []string `json:"reboot,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Same tells that the machine runs what is declared.
func (d Diff) Same() bool { return d.Err == nil && d.From == d.To }

// Diff tells for every machine, sorted by name, what an update would change.
// Systems are built for that, here; on the machines nothing is changed.
func (d *Deployer) Diff(ctx context.Context, machines []Machine) []Diff {
	list := make([]Diff, len(machines))
	each(machines, func(i int, m Machine) {
		diff := &list[i]
		diff.Result = Result{Machine: m.Name, Target: m.Address, State: Done}
		diff.Packages = []Package{}
		if phase, err := d.diff(ctx, m, diff); err != nil {
			diff.Result = diff.fail(ctx, phase, err)
		}
		diff.Result = d.conclude(diff.Result)
	})
	slices.SortFunc(list, func(a, b Diff) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

// diff fills in what there is to tell about a machine, or says in which phase
// that failed.
func (d *Deployer) diff(ctx context.Context, m Machine, diff *Diff) (Phase, error) {
	m, err := d.evaluated(ctx, m)
	if err != nil {
		return Build, err
	}
	out := m.Details.Toplevel.OutPath
	d.emit(m.Name, Reach, Started, "")
	var facts Facts
	err = d.during(ctx, Reach, func() (err error) {
		facts, diff.Target, err = d.look(ctx, m)
		return err
	})
	if err != nil {
		return Reach, err
	}
	d.emit(m.Name, Reach, Done, "")
	diff.From, diff.To, diff.Notes = facts.System, out, notes(m.Name, facts)
	if facts.Profile == facts.System {
		diff.Generation = facts.Generation
	}
	if facts.System == out {
		return "", nil
	}
	if err := d.build(ctx, Step{Machine: m.Name, Wanted: *m.Details.Toplevel}); err != nil {
		return Build, err
	}
	after, err := d.closure(ctx, out)
	if err != nil {
		return Build, err
	}
	return Reach, d.during(ctx, Reach, func() error {
		looking, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		return d.compare(looking, m, facts, after, diff)
	})
}

// evaluated is a machine whose system is known.
func (d *Deployer) evaluated(ctx context.Context, m Machine) (Machine, error) {
	w := &way{d: d, m: m}
	err := w.evaluate(ctx)
	switch {
	case err != nil:
		return m, err
	case w.m.Err != nil:
		return m, w.m.Err
	case w.m.Details == nil || w.m.Details.Toplevel == nil:
		return m, errors.New("its system was not evaluated")
	}
	return w.m, nil
}

// compare asks the machine for all that there is to compare the new system with.
func (d *Deployer) compare(ctx context.Context, m Machine, facts Facts, after closure, diff *Diff) error {
	t, err := d.target(m.Name, m.Class, m.Address)
	if err != nil {
		return err
	}
	found, err := d.foundOn(ctx, t, facts, after)
	if err != nil {
		return fmt.Errorf("look at what %s has: %w", t, err)
	}
	diff.Before, diff.After = found.closure.size(), after.size()
	diff.Packages = append(diff.Packages, comparePackages(found.closure, after)...)
	diff.Copy = after.copied(found.lacks)
	if diff.From == "" {
		return nil
	}
	diff.Reboot = rebootFor(diff.To, found)
	switch {
	case facts.Systemd:
		changes, err := units.Predict(found.units, os.DirFS(diff.To))
		if err != nil {
			return err
		}
		diff.Units = &changes
	case len(found.jobs) > 0:
		changes, err := units.PredictJobs(found.jobs, os.DirFS(diff.To))
		if err != nil {
			return err
		}
		diff.Units = &changes
	}
	return nil
}

// toCopy is what a machine lacks of a system.
func (d *Deployer) toCopy(ctx context.Context, t Target, facts Facts, system closure) (CopySize, error) {
	facts.System = "" // it is not compared
	found, err := d.foundOn(ctx, t, facts, system)
	return system.copied(found.lacks), err
}

// copied is the size of the paths that are to be copied.
func (c closure) copied(lacks []string) CopySize {
	size := CopySize{Known: true, Paths: len(lacks)}
	for _, path := range lacks {
		size.Bytes += c[path]
	}
	return size
}

// found is what compare.sh finds on a machine.
type found struct {
	closure closure // of the system that runs
	lacks   []string
	// booted are the parts of the booted system that only a boot changes, init is
	// the version of the interface to it, inhibitors the file switch-inhibitors.
	booted     map[string]string
	init       string
	inhibitors string
	jobs       map[string]string // files of launchd, and their digests
	units      units.Running
}

// foundOn asks a machine behind a shell with one script. A folder, and this
// computer's own store, are looked at from here.
func (d *Deployer) foundOn(ctx context.Context, t Target, facts Facts, after closure) (found, error) {
	if t, ok := t.(comparer); ok {
		return t.compare(ctx, facts.System, slices.Sorted(maps.Keys(after)))
	}
	f := found{closure: closure{}}
	store := ""
	if facts.HasStore { // else Nix would make one
		var err error
		if store, err = t.Store(ctx); err != nil {
			return found{}, err
		}
		if f.closure, err = d.closureIn(ctx, store, facts.System); err != nil {
			return found{}, err
		}
	}
	present := map[string]bool{}
	if store != "" {
		infos, err := d.o.Nix.PathInfo(ctx, store, slices.Sorted(maps.Keys(after))...)
		if err != nil {
			return found{}, err
		}
		for path := range infos {
			present[path] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if !present[path] {
			f.lacks = append(f.lacks, path)
		}
	}
	return f, nil
}

// closureIn is the closure of a system in a store; empty if there is no system.
func (d *Deployer) closureIn(ctx context.Context, store, system string) (closure, error) {
	all := closure{}
	if system == "" {
		return all, nil
	}
	infos, err := d.o.Nix.Closure(ctx, store, system)
	for path, info := range infos {
		all[path] = info.NarSize
	}
	return all, err
}

// comparer is a machine behind a shell, which tells with one script what it has.
type comparer interface {
	shell
	compare(ctx context.Context, system string, paths []string) (found, error)
}

// compare asks without sudo: everybody may know what a store has and what runs.
func (t *localTarget) compare(ctx context.Context, system string, paths []string) (found, error) {
	var out strings.Builder
	err := t.execute(ctx, []string{"/bin/sh", "-c", prelude + compareScript, "fleet", system}, pathList(paths), &out)
	if err != nil {
		return found{}, err
	}
	return parseFound(out.String())
}

func pathList(paths []string) io.Reader { return strings.NewReader(strings.Join(paths, "\n") + "\n") }

func (t *sshTarget) compare(ctx context.Context, system string, paths []string) (found, error) {
	var out limitedText
	if err := t.run(ctx, compareScript, pathList(paths), &out, system); err != nil {
		return found{}, err
	}
	return parseFound(out.String())
}

// parseFound reads what compare.sh prints.
func parseFound(text string) (found, error) {
	f := found{closure: closure{}, booted: map[string]string{}, jobs: map[string]string{}}
	f.units = units.Running{Active: map[string]bool{}, Files: units.NewFolder()}
	var paths []string
	var sizes []int64
	var unit string
	ran, complete, whole := false, false, text
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if line == "files" {
			break
		}
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "os":
			ran = true
		case "lacks":
			f.lacks = append(f.lacks, value)
		case "path":
			paths = append(paths, value)
		case "size":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return found{}, fmt.Errorf("the size %q of a path is no number", value)
			}
			sizes = append(sizes, n)
		case "booted":
			part, target, _ := strings.Cut(value, " ")
			f.booted[part] = target
		case "init":
			f.init = value
		case "inhibitors":
			f.inhibitors = value
		case "job":
			digest, file, _ := strings.Cut(value, " ")
			f.jobs[file] = digest
		case "complete":
			complete = true
		case "own":
			f.units.Files.Names[value] = true
		case "fstab":
			f.units.Fstab += value + "\n"
		case "active":
			f.units.Active[value] = true
		case "Id":
			unit = value
		case "FragmentPath":
			if strings.HasPrefix(value, "/"+units.Dir) && !slices.Contains(f.units.Own, unit) {
				f.units.Own = append(f.units.Own, unit)
			}
		}
	}
	switch {
	case !ran:
		return found{}, notRun(whole)
	case !complete || len(paths) != len(sizes):
		return found{}, fmt.Errorf("its Nix does not tell all about the system that runs (%d paths, %d sizes)", len(paths), len(sizes))
	}
	for i, path := range paths {
		f.closure[path] = sizes[i]
	}
	f.units.Files.Read(text)
	return f, nil
}

// rebootFor names the parts of a system that the machine has to boot for.
func rebootFor(system string, f found) []string {
	var parts []string
	for part, booted := range f.booted {
		if now, err := filepath.EvalSymlinks(filepath.Join(system, part)); err == nil && now != booted {
			parts = append(parts, part)
		}
	}
	if version, err := os.ReadFile(filepath.Join(system, "init-interface-version")); err == nil && f.init != "" && strings.TrimSpace(string(version)) != f.init {
		parts = append(parts, "init")
	}
	inhibitors, _ := os.ReadFile(filepath.Join(system, "switch-inhibitors"))
	parts = append(parts, inhibits(f.inhibitors, string(inhibitors))...)
	slices.Sort(parts)
	return parts
}

// inhibits names the parts for which NixOS refuses to switch from a system to
// another, by their files switch-inhibitors.
func inhibits(from, to string) (parts []string) {
	before, after := parseInhibitors(from), parseInhibitors(to)
	for _, part := range sortedKeys(after) {
		if was, ok := before[part]; ok && was != after[part] {
			parts = append(parts, part)
		}
	}
	return parts
}

// parseInhibitors reads a system's file switch-inhibitors; what cannot be read
// inhibits nothing, as for NixOS.
func parseInhibitors(text string) map[string]string {
	var all map[string]string
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	return all
}

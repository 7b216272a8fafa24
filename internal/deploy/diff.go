package deploy

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/deploy/units"
)

var (
	//go:embed script/system.sh
	systemScript string
	//go:embed script/compare.sh
	compareScript string
)

// filesScript and builtScript tell of a system, given its path, what a machine tells
// of the one that it runs: builtScript all of it, filesScript all but its closure.
const (
	filesScript = `
tell_parts part "$1"
tell_files "$1" || exit 1
say complete yes
`
	builtScript = `
tell_closure "$1"
` + filesScript
)

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
// Systems are built for that, where an update would build them; nothing else is
// changed on any machine.
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
	w := &way{d: d, m: m, s: Step{Machine: m.Name, Wanted: *m.Details.Toplevel}}
	d.emit(m.Name, Reach, Started, "")
	err = d.during(ctx, Reach, func() (err error) {
		if w.s.Now, diff.Target, err = d.look(ctx, m); err == nil {
			w.t, err = d.target(m.Name, m.Class, m.Address)
		}
		return err
	})
	if err != nil {
		return Reach, err
	}
	d.emit(m.Name, Reach, Done, "")
	now, out := w.s.Now, w.s.Wanted.OutPath
	diff.From, diff.To, diff.Notes = now.System, out, notes(m.Name, now)
	if now.Profile == now.System {
		diff.Generation = now.Generation
	}
	if now.System == out {
		return "", nil
	}
	if err := w.build(ctx); err != nil {
		return Build, err
	}
	after, err := w.built(ctx)
	if err != nil {
		return Build, err
	}
	return Reach, d.during(ctx, Reach, func() error { return w.compare(ctx, after, diff) })
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

// built is what the system is made of, as the host tells that has built it.
func (w *way) built(ctx context.Context) (built system, err error) {
	b, self, err := w.builder()
	switch {
	case err != nil:
		return system{}, err
	case self:
		return w.askBuilt(ctx, w.t)
	case b != nil:
		err = b.exports.use(ctx, w.s.Wave, func(host *sshTarget) (err error) {
			built, err = w.askBuilt(ctx, host)
			return err
		})
		return built, err
	}
	return w.askBuilt(ctx, newLocalTarget(w.m.Class, w.d.o.Root, w.d.o.Terminal))
}

func (w *way) askBuilt(ctx context.Context, host Target) (system, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	built, err := w.builtOn(ctx, host)
	if err != nil {
		return system{}, fmt.Errorf("ask %s about %s: %w", host, w.s.Wanted.OutPath, err)
	}
	return built, nil
}

// builtOn asks a host behind SSH with one script. The closure in a store that Nix
// reaches from here is asked for from here, and the files of the system are of no
// use where the machine does not tell of its own.
func (w *way) builtOn(ctx context.Context, host Target) (system, error) {
	out := w.s.Wanted.OutPath
	if host, ok := host.(*sshTarget); ok {
		found, err := host.tell(ctx, builtScript, nil, out)
		return found.system, err
	}
	store, err := host.Store(ctx)
	if err != nil {
		return system{}, err
	}
	var f found
	if _, tells := w.t.(comparer); tells {
		if f, err = host.(comparer).tell(ctx, filesScript, nil, out); err != nil {
			return system{}, err
		}
	}
	f.closure, err = w.d.closureIn(ctx, store, out)
	return f.system, err
}

// compare asks the machine for all that there is to compare the new system with.
func (w *way) compare(ctx context.Context, after system, diff *Diff) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := w.d.foundOn(ctx, w.t, w.s.Now, after.closure)
	if err != nil {
		return fmt.Errorf("look at what %s has: %w", w.t, err)
	}
	diff.Before, diff.After = found.closure.size(), after.closure.size()
	diff.Packages = append(diff.Packages, comparePackages(found.closure, after.closure)...)
	diff.Copy = after.closure.copied(found.lacks)
	if diff.From == "" {
		return nil
	}
	diff.Reboot = rebootFor(found, after)
	var changes units.Changes
	switch {
	case w.s.Now.Systemd:
		changes = units.Predict(units.Running{System: found.units, Active: found.active, Own: found.own}, after.units)
	case len(found.units.Jobs)+len(after.units.Jobs) > 0:
		changes = units.PredictJobs(found.units, after.units)
	default:
		return nil
	}
	diff.Units = &changes
	return nil
}

// toCopy is what a machine lacks of a system.
func (d *Deployer) toCopy(ctx context.Context, t Target, facts Facts, after closure) (CopySize, error) {
	facts.System = "" // it is not compared
	found, err := d.foundOn(ctx, t, facts, after)
	return after.copied(found.lacks), err
}

// copied is the size of the paths that are to be copied.
func (c closure) copied(lacks []string) CopySize {
	size := CopySize{Known: true, Paths: len(lacks)}
	for _, path := range lacks {
		size.Bytes += c[path]
	}
	return size
}

// system is what a system is made of.
type system struct {
	closure closure
	// parts are those that only a boot changes, init is the version of the interface
	// to it, inhibitors the file switch-inhibitors.
	parts      map[string]string
	init       string
	inhibitors string
	units      units.System
}

// found is what compare.sh finds on a machine.
type found struct {
	system                   // that runs
	booted map[string]string // the parts of the one that was booted
	lacks  []string
	active map[string]bool // units, and those of them that the system is in charge of
	own    []string
}

// foundOn asks a machine behind a shell with one script. A folder, and this
// computer's own store, are looked at from here.
func (d *Deployer) foundOn(ctx context.Context, t Target, facts Facts, after closure) (found, error) {
	if t, ok := t.(comparer); ok {
		return compare(ctx, t, facts.System, slices.Sorted(maps.Keys(after)))
	}
	f := found{system: system{closure: closure{}}}
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
	// tell runs a script that goes after system.sh, given a system.
	tell(ctx context.Context, script string, stdin io.Reader, system string) (found, error)
}

// compare asks which of the paths a machine lacks, and about the system that runs,
// unless it is empty.
func compare(ctx context.Context, t comparer, system string, paths []string) (found, error) {
	return t.tell(ctx, compareScript, strings.NewReader(strings.Join(paths, "\n")+"\n"), system)
}

// tell asks without sudo: everybody may know what a store has and what runs.
func (t *localTarget) tell(ctx context.Context, script string, stdin io.Reader, system string) (found, error) {
	var out strings.Builder
	if err := t.runUnprivileged(ctx, systemScript+script, stdin, &out, system); err != nil {
		return found{}, err
	}
	return parseFound(out.String())
}

func (t *sshTarget) tell(ctx context.Context, script string, stdin io.Reader, system string) (found, error) {
	var out limitedText
	if err := t.run(ctx, systemScript+script, stdin, &out, system); err != nil {
		return found{}, err
	}
	return parseFound(out.String())
}

// parseFound reads what system.sh and compare.sh print.
func parseFound(text string) (found, error) {
	f := found{
		system: system{closure: closure{}, parts: map[string]string{}, units: units.System{Units: units.NewFolder(), Jobs: map[string]string{}}},
		booted: map[string]string{}, active: map[string]bool{},
	}
	var paths []string
	var sizes []int64
	var unit, file string
	files := map[string]*strings.Builder{}
	ran, complete := false, false
	for line := range strings.Lines(text) {
		if more, ok := strings.CutPrefix(line, " "); ok && file != "" {
			files[file].WriteString(more)
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
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
		case "booted", "part":
			part, target, _ := strings.Cut(value, " ")
			if name == "part" {
				f.parts[part] = target
			} else {
				f.booted[part] = target
			}
		case "unit":
			f.units.Units.Names[value] = true
		case "file":
			file = value
			files[file] = &strings.Builder{}
		case "complete":
			complete = true
		case "active":
			f.active[value] = true
		case "Id":
			unit = value
		case "FragmentPath":
			if strings.HasPrefix(value, "/"+units.Dir) && !slices.Contains(f.own, unit) {
				f.own = append(f.own, unit)
			}
		}
	}
	switch {
	case !ran:
		return found{}, notRun(text)
	case !complete || len(paths) != len(sizes):
		return found{}, fmt.Errorf("its Nix does not tell all about the system (%d paths, %d sizes)", len(paths), len(sizes))
	}
	for i, path := range paths {
		f.closure[path] = sizes[i]
	}
	for name, text := range files {
		f.add(name, text.String())
	}
	return f, nil
}

// add notes what a file says, by its place in the system.
func (s *system) add(name, text string) {
	unit, isUnit := strings.CutPrefix(name, units.Dir+"/")
	switch {
	case isUnit:
		s.units.Units.Texts[unit] = text
	case name == "etc/fstab":
		s.units.Fstab = text
	case name == "init-interface-version":
		s.init = strings.TrimSpace(text)
	case name == "switch-inhibitors":
		s.inhibitors = text
	default:
		s.units.Jobs[name] = text
	}
}

// rebootFor names the parts of a system that the machine has to boot for.
func rebootFor(f found, after system) []string {
	parts := inhibits(f.inhibitors, after.inhibitors)
	for part, booted := range f.booted {
		if now, has := after.parts[part]; has && now != booted {
			parts = append(parts, part)
		}
	}
	if f.init != "" && after.init != "" && f.init != after.init {
		parts = append(parts, "init")
	}
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

package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Units are the units of a machine, on a Mac the jobs of launchd, that an
// activation touches, each list sorted. What an activation script asks for beside
// that cannot be told beforehand.
type Units struct {
	Stop    []string `json:"stop,omitempty"`
	Restart []string `json:"restart,omitempty"`
	Reload  []string `json:"reload,omitempty"`
	Start   []string `json:"start,omitempty"`
	// Keep are changed units that go on running as they are until somebody
	// restarts them, or the machine.
	Keep []string `json:"keep,omitempty"`
}

func (all *Units) sort() {
	for _, list := range []*[]string{&all.Stop, &all.Restart, &all.Reload, &all.Start, &all.Keep} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// unitDir is where the unit files of a system are, and, on a machine, those that
// an activation is in charge of.
const unitDir = "etc/systemd/system"

// runningUnit is a unit that runs on a machine.
type runningUnit struct {
	name string
	// fragment is its file, perhaps that of a template.
	fragment string
	// instance tells that a template's instance has drop-ins of its own.
	instance bool
	file     unitFile
}

// runningUnits is what the machine tells about its units.
type runningUnits struct {
	// own are the files of the system that runs, active all units that do.
	own, active map[string]bool
	units       []runningUnit
}

// predictUnits tells what switching to a new system, given the folder of its unit
// files, does to the running units. It follows NixOS's switch-to-configuration,
// whose own dry run needs the system on the machine, runs programs of it there
// and locks out a deploy meanwhile.
func predictUnits(running runningUnits, system fs.FS) (Units, error) {
	var all Units
	restarted := map[string]bool{}
	for _, u := range running.units {
		file, err := newUnit(system, u)
		switch {
		case err != nil:
			return Units{}, err
		case file == nil:
			if u.file.flag("Unit", "X-StopOnRemoval", true) {
				all.Stop = append(all.Stop, u.name)
			}
		case strings.HasSuffix(u.name, ".target"): // is only started again, with what is new in it
		default:
			all.change(u, file, restarted)
		}
	}
	started, err := newlyWanted(running, system)
	if err != nil {
		return Units{}, err
	}
	all.Start = started
	// A service that is socket-activated is stopped, and its socket restarted.
	for _, u := range running.units {
		socket := strings.TrimSuffix(u.name, ".service") + ".socket"
		if restarted[u.name] && strings.HasSuffix(u.name, ".service") && running.active[socket] && exists(system, socket) {
			all.Restart = append(all.Restart, socket)
		}
	}
	all.sort()
	return all, nil
}

// change notes what happens to a unit that both systems have.
func (all *Units) change(u runningUnit, file unitFile, restarted map[string]bool) {
	effect := compareUnits(u.file, file)
	ending := path.Ext(u.name)
	switch {
	case effect == unaffected:
	case effect == reloads:
		all.Reload = append(all.Reload, u.name)
	case ending == ".slice" || ending == ".path" || ending == ".socket": // systemd itself does what is to be done
	case u.name == "-.mount" || u.name == "nix.mount":
		all.Reload = append(all.Reload, u.name)
	case ending == ".mount":
		all.Restart = append(all.Restart, u.name)
	case file.flag("Service", "X-ReloadIfChanged", false):
		all.Reload = append(all.Reload, u.name)
	case !file.flag("Service", "X-RestartIfChanged", true), file.flag("Unit", "RefuseManualStop", false), file.flag("Unit", "X-OnlyManualStart", false):
		all.Keep = append(all.Keep, u.name)
	default:
		all.Restart = append(all.Restart, u.name)
		restarted[u.name] = file.flag("Service", "X-StopIfChanged", true)
	}
}

// newUnit reads a running unit as the new system has it; nil if it has none.
func newUnit(system fs.FS, u runningUnit) (unitFile, error) {
	base := u.name
	if !exists(system, base) {
		base = path.Base(u.fragment) // the template, if it is one
	}
	if !exists(system, base) {
		return nil, nil
	}
	file := unitFile{}
	names := []string{base}
	for _, name := range slices.Compact([]string{base, u.name}) {
		dropIns, err := fs.Glob(system, escapeGlob(name)+".d/*.conf")
		if err != nil {
			return nil, fmt.Errorf("look for drop-ins of %s: %w", name, err)
		}
		if name != base && u.instance && len(dropIns) == 0 {
			return nil, nil // the instance is no longer declared
		}
		names = append(names, dropIns...)
	}
	for _, name := range names {
		text, err := fs.ReadFile(system, name)
		if err != nil {
			return nil, fmt.Errorf("read the unit %s of the new system: %w", name, err)
		}
		file.read(string(text))
	}
	return file, nil
}

var globEscapes = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func escapeGlob(name string) string { return globEscapes.Replace(name) }

// exists tells whether a system has a unit; a link to /dev/null hides one.
func exists(system fs.FS, name string) bool {
	info, err := fs.Stat(system, name)
	return err == nil && info.Mode().IsRegular()
}

// newlyWanted are the units that an active target starts and the old system has not.
func newlyWanted(running runningUnits, system fs.FS) ([]string, error) {
	var list []string
	for _, kind := range []string{"wants", "requires"} {
		links, err := fs.Glob(system, "*."+kind+"/*")
		if err != nil {
			return nil, fmt.Errorf("list what the targets of the new system want: %w", err)
		}
		for _, link := range links {
			unit := path.Base(link)
			if by := strings.TrimSuffix(path.Dir(link), "."+kind); running.active[by] && !running.active[unit] && !running.own[unit] && exists(system, unit) {
				list = append(list, unit)
			}
		}
	}
	return list, nil
}

// jobDirs are the folders of a Mac's system with the jobs of launchd.
var jobDirs = []string{"Library/LaunchDaemons", "Library/LaunchAgents", "user/Library/LaunchAgents"}

// predictJobs tells what switching to a new system does to the jobs of launchd,
// of which running has the digests by their files. nix-darwin loads a job anew
// whose file has changed.
func predictJobs(running map[string]string, system fs.FS) (Units, error) {
	var all Units
	after := map[string]bool{}
	for _, dir := range jobDirs {
		entries, err := fs.ReadDir(system, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Units{}, fmt.Errorf("list the jobs of the new system: %w", err)
		}
		for _, entry := range entries {
			file := path.Join(dir, entry.Name())
			text, err := fs.ReadFile(system, file)
			if err != nil {
				return Units{}, fmt.Errorf("read the job %s of the new system: %w", file, err)
			}
			after[file] = true
			sum := sha256.Sum256(text)
			switch before, ran := running[file]; {
			case !ran:
				all.Start = append(all.Start, jobName(file))
			case before != hex.EncodeToString(sum[:]):
				all.Restart = append(all.Restart, jobName(file))
			}
		}
	}
	for file := range running {
		if !after[file] {
			all.Stop = append(all.Stop, jobName(file))
		}
	}
	all.sort()
	return all, nil
}

func jobName(file string) string { return strings.TrimSuffix(path.Base(file), ".plist") }

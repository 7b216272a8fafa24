// Package units tells beforehand what switching a machine to another system does
// to its services: to systemd's units on NixOS, to launchd's jobs on a Mac. It looks
// at what has been read of both systems, and at no machine.
package units

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Changes are the units of a machine, on a Mac the jobs of launchd, that an
// activation touches, each list sorted. What an activation script asks for beside
// that, and what happens to the units of users, cannot be told beforehand.
type Changes struct {
	Stop    []string `json:"stop,omitempty"`
	Restart []string `json:"restart,omitempty"`
	Reload  []string `json:"reload,omitempty"`
	Start   []string `json:"start,omitempty"`
	// Keep are changed units that go on running as they are until somebody
	// restarts them, or the machine.
	Keep []string `json:"keep,omitempty"`
}

func (all *Changes) sort() {
	for _, list := range []*[]string{&all.Stop, &all.Restart, &all.Reload, &all.Start, &all.Keep} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// System is what a system says of what is to run.
type System struct {
	Units Folder
	Fstab string // its /etc/fstab
	// Jobs are what the files of launchd's jobs say, by their place in the system.
	Jobs map[string]string
}

// Running is what the machine tells about its units.
type Running struct {
	System // the one that runs
	Active map[string]bool
	// Own are the active units whose file is the system's, which an activation is
	// in charge of.
	Own []string
}

// Predict tells what switching to a new system does to the running units. It follows
// NixOS's switch-to-configuration, whose own dry run needs the system on the machine,
// runs programs of it there and locks out a deploy meanwhile. Unlike that it names
// what the targets start for the first time.
func Predict(running Running, after System) Changes {
	p := prediction{Running: running, after: after.Units}
	for _, unit := range running.Own {
		p.unit(unit)
	}
	p.fileSystems(running.Fstab, after.Fstab)
	p.started()
	p.sort()
	return p.Changes
}

// prediction is what is known of the units of a machine before and after.
type prediction struct {
	Changes
	Running
	after Folder
}

// instanceOf matches an instance of a template as switch-to-configuration does: one
// with a dot in its name is left alone.
var instanceOf = regexp.MustCompile(`^(.*)@[^.]*\.(.*)$`)

// unit notes what happens to a unit that runs.
func (p *prediction) unit(name string) {
	base, dropped := name, false
	if parts := instanceOf.FindStringSubmatch(name); parts != nil && !p.Units.Names[name] && !p.after.Names[name] {
		base = parts[1] + "@." + parts[2]
		// What a configuration says of one instance is a drop-in.
		dropped = len(p.Units.dropIns(name)) > 0 && len(p.after.dropIns(name)) == 0
	}
	if !p.Units.Names[base] {
		return
	}
	before := p.Units.unit(base, name)
	_, there := p.after.Texts[base]
	switch {
	case dropped || !there:
		if before.flag("Unit", "X-StopOnRemoval", true) {
			p.Stop = append(p.Stop, name)
		}
	case strings.HasSuffix(name, ".target"): // is only started again, with what is new in it
	default:
		p.change(name, base, before, p.after.unit(base, name))
	}
}

// change notes what happens to a unit that both systems have.
func (p *prediction) change(name, base string, before, after unitFile) {
	effect := compareFiles(before, after)
	ending := path.Ext(name)
	switch {
	case effect == unaffected:
	case effect == reloads:
		p.Reload = append(p.Reload, name)
	case ending == ".slice" || ending == ".path" || ending == ".socket": // systemd itself does what is to be done
	case name == "-.mount" || name == "nix.mount":
		p.Reload = append(p.Reload, name)
	case ending == ".mount":
		p.Restart = append(p.Restart, name)
	case after.flag("Service", "X-ReloadIfChanged", false):
		p.Reload = append(p.Reload, name)
	case !after.flag("Service", "X-RestartIfChanged", true), after.flag("Unit", "RefuseManualStop", false), after.flag("Unit", "X-OnlyManualStart", false):
		p.Keep = append(p.Keep, name)
	case ending == ".service" && after.flag("Service", "X-StopIfChanged", true) && p.activated(base, after):
		p.Stop = append(p.Stop, name)
	default:
		p.Restart = append(p.Restart, name)
	}
}

// activated tells whether a changed service is stopped and left to its sockets to
// start, and notes what happens to them.
func (p *prediction) activated(base string, service unitFile) bool {
	sockets := strings.Fields(strings.Join(service["Service"]["Sockets"], " "))
	if len(sockets) == 0 {
		sockets = []string{strings.TrimSuffix(strings.TrimSuffix(base, ".service"), "@") + ".socket"}
	}
	activated := false
	for _, socket := range sockets {
		_, starts := p.after.Texts[socket]
		switch {
		case p.Active[socket] && starts:
			p.Restart = append(p.Restart, socket)
		case p.Active[socket]:
			p.Stop = append(p.Stop, socket)
		}
		activated = activated || p.after.Names[socket] // even one that is masked
	}
	return activated && !service.flag("Service", "X-NotSocketActivated", false)
}

// started notes what the targets that are started again, and the units that are
// restarted, want for the first time.
func (p *prediction) started() {
	by := slices.Clone(p.Restart)
	for unit := range p.Active {
		file := p.after.unit(unit, unit)
		switch {
		case !strings.HasSuffix(unit, ".target"), file.flag("Unit", "RefuseManualStart", false), file.flag("Unit", "X-OnlyManualStart", false):
		case unit == "suspend.target" || unit == "hibernate.target" || unit == "hybrid-sleep.target":
		default:
			by = append(by, unit)
		}
	}
	for len(by) > 0 {
		before := p.Units.wantedBy(by[0])
		for _, unit := range p.after.wantedBy(by[0]) {
			_, there := p.after.Texts[unit]
			if there && !p.Active[unit] && !slices.Contains(before, unit) && !slices.Contains(p.Start, unit) {
				p.Start = append(p.Start, unit)
				by = append(by, unit)
			}
		}
		by = by[1:]
	}
}

// PredictJobs tells what switching to a new system does to the jobs of launchd.
// nix-darwin loads a job anew whose file has changed.
func PredictJobs(before, after System) Changes {
	var all Changes
	for file, text := range after.Jobs {
		switch was, ran := before.Jobs[file]; {
		case !ran:
			all.Start = append(all.Start, jobName(file))
		case was != text:
			all.Restart = append(all.Restart, jobName(file))
		}
	}
	for file := range before.Jobs {
		if _, stays := after.Jobs[file]; !stays {
			all.Stop = append(all.Stop, jobName(file))
		}
	}
	all.sort()
	return all
}

func jobName(file string) string { return strings.TrimSuffix(path.Base(file), ".plist") }

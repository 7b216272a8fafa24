package units

import (
	"fmt"
	"strings"
)

// fileSystem is a line of /etc/fstab.
type fileSystem struct {
	device, mountPoint, kind, options string
}

// unit is what starts and stops it.
func (f fileSystem) unit() string {
	switch {
	case f.kind == "swap":
		return escapePath(f.device) + ".swap"
	case f.automount():
		return escapePath(f.mountPoint) + ".automount"
	}
	return escapePath(f.mountPoint) + ".mount"
}

// automount tells that it is mounted when it is needed.
func (f fileSystem) automount() bool { return strings.Contains(f.options, "x-systemd.automount") }

// parseFstab reads a file /etc/fstab, by mount point; a swap device has none and is
// there by its own name.
func parseFstab(text string) map[string]fileSystem {
	all := map[string]fileSystem{}
	for line := range strings.Lines(text) {
		fields := append(strings.Fields(line), "")
		if strings.Contains(line, "#") || len(fields) < 4 {
			continue
		}
		f := fileSystem{device: fields[0], mountPoint: fields[1], kind: fields[2], options: fields[3]}
		if f.kind == "swap" {
			all[f.device] = f
		} else {
			all[f.mountPoint] = f
		}
	}
	return all
}

// fileSystems notes what happens to mounts and swap devices that /etc/fstab
// declares, whose units are made by systemd and not the system's.
func (p *prediction) fileSystems(before, after string) {
	old, now := parseFstab(before), parseFstab(after)
	for where, was := range old {
		is, stays := now[where]
		mount := escapePath(where) + ".mount"
		moved, remounted := is.device != was.device || is.kind != was.kind, is.options != was.options
		switch {
		case !stays || (is.kind == "swap") != (was.kind == "swap"):
			p.Stop = append(p.Stop, was.unit())
		case was.kind == "swap": // goes on as it is
		case moved && where != "/" && where != "/nix":
			p.Restart = append(p.Restart, mount)
		case remounted:
			p.Reload = append(p.Reload, mount)
		case moved:
			p.Keep = append(p.Keep, mount)
		}
	}
	for where, is := range now {
		if _, was := old[where]; !was && (is.automount() || !strings.Contains(is.options, "noauto")) {
			p.Start = append(p.Start, is.unit())
		}
	}
}

// escapePath makes a path the name of a unit, as systemd-escape --path does.
func escapePath(path string) string {
	name := strings.Join(strings.FieldsFunc(path, func(r rune) bool { return r == '/' }), "/")
	if name == "" {
		return "-"
	}
	var b strings.Builder
	for i, c := range []byte(name) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ':', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

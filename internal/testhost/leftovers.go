package testhost

import (
	"context"
	"fmt"
	"strings"
)

// Leftovers is what a deploy has left on a host that is on: processes that are not
// the host's own, and files and units that are there only as long as somebody
// deploys. What cannot be looked at is in it as well.
func (h *Host) Leftovers() []string {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return append(h.strangers(ctx), h.deployFiles(ctx)...)
}

// strangers are the processes outside of the services of the host's systemd, or in
// those that a deploy or a connection has made.
func (h *Host) strangers(ctx context.Context) (left []string) {
	// By its path, for a system may bring a ps of its own; a Mac hides that of Linux.
	ps := "/usr/bin/ps"
	if _, err := h.Stat("/opt/linux/bin/ps"); err == nil {
		ps = "/opt/linux/bin/ps"
	}
	list := ps + " -eo pid,unit,args --no-headers"
	out, said, code := h.Exec(ctx, strings.Fields(list)...)
	if code != 0 {
		return []string{fmt.Sprintf("%s: exit status %d: %s", list, code, said)}
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		pid, unit, args := f[0], f[1], strings.Join(f[2:], " ")
		switch {
		case pid == "1", args == list, strings.HasPrefix(args, "sshd: ") && strings.Contains(args, "[listener]"):
		case unit == "-", unit == "ssh.service", strings.HasPrefix(unit, "fleet-"), strings.HasPrefix(unit, "session-"), strings.HasPrefix(unit, "run-"):
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

func (h *Host) deployFiles(ctx context.Context) []string {
	out, said, code := h.Exec(ctx, "sh", "-c", `
		find /run/fleet /nix/var/nix/gcroots/fleet -mindepth 1 2>/dev/null
		for path in /var/lib/fleet/current /etc/systemd/system.control; do
			[ ! -e "$path" ] || echo "$path"
		done
		[ ! -d /run/systemd/system ] || systemctl list-units --all --plain --no-legend 'fleet-*'`)
	if code != 0 {
		return []string{fmt.Sprintf("looking at its files: exit status %d: %s", code, said)}
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

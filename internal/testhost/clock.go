package testhost

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

//go:embed testdata/clock.c
var clockSource string

// SetClock sets the clock of a full host to the real time and a difference to it,
// as its services and the sessions of sshd see it; sshd and process 1 keep the
// real time. The first call restarts sshd.
func (h *Host) SetClock(ahead time.Duration) error {
	set := func() error {
		// At once, since it is read all the time.
		const script = `echo "$0" > /etc/clock.new && mv /etc/clock.new /etc/clock`
		return h.must("sh", "-c", script, fmt.Sprint(int(ahead.Seconds())))
	}
	const library = "/usr/lib/fleet-clock.so"
	if _, err := h.Stat(library); err == nil {
		return set()
	}
	compiled := filepath.Join(h.folder, "clock.so")
	if err := command(clockSource, "gcc", "-shared", "-fPIC", "-O2", "-o", compiled, "-x", "c", "-"); err != nil {
		return err
	}
	content, err := os.ReadFile(compiled)
	if err != nil {
		return err
	}
	return errors.Join(set(), h.WriteFile(library, content, 0o755), h.must("sh", "-c", `set -e
mkdir -p /etc/systemd/system.conf.d /etc/systemd/system/ssh.service.d
printf '[Manager]\nDefaultEnvironment=LD_PRELOAD=%s\n' "$0" > /etc/systemd/system.conf.d/clock.conf
# What of sshd deals with strangers may not open files.
printf '[Service]\nUnsetEnvironment=LD_PRELOAD\n' > /etc/systemd/system/ssh.service.d/clock.conf
sed -i "s|^SetEnv |&LD_PRELOAD=$0 |" /etc/ssh/sshd_config
systemctl daemon-reexec
systemctl restart systemd-journald ssh`, library))
}

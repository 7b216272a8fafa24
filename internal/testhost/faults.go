package testhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LinkDown pulls the network cable: packets are lost without a word.
func (h *Host) LinkDown() error { return command("", "ip", "link", "set", h.link, "down") }

// LinkUp puts the network cable back.
func (h *Host) LinkUp() error { return command("", "ip", "link", "set", h.link, "up") }

// KillSSHD kills sshd and its sessions, but nothing that was started by them;
// sshd stays away until [Host.StartSSHD].
func (h *Host) KillSSHD() error {
	if err := h.kind.killSSHD(h); err != nil {
		return err
	}
	// A process that is gone lets go of its socket a moment later.
	for deadline := time.Now().Add(killTimeout); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", h.Addr, time.Second)
		if err != nil {
			return nil
		}
		conn.Close()
		if time.Now().After(deadline) {
			return fmt.Errorf("test host %s: sshd was killed and answers still", h.Name)
		}
	}
}

// StartSSHD starts sshd again after [Host.KillSSHD] and waits until it answers.
func (h *Host) StartSSHD() error {
	if err := h.kind.startSSHD(h); err != nil {
		return err
	}
	return h.WaitBoot(context.Background(), 0)
}

const filler = "testhost-filler"

// FillDisk leaves no byte free on the file system of the folder dir until
// [Host.FreeDisk]. Only the small /nix of [Options] DiskMB can be filled.
func (h *Host) FillDisk(dir string) error {
	if h.diskMB == 0 || !strings.HasPrefix(path.Clean(dir)+"/", "/nix/") {
		return fmt.Errorf("test host %s: only /nix of a host with Options.DiskMB is filled, not %s", h.Name, dir)
	}
	f, err := h.open(path.Join(dir, filler), unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for chunk := make([]byte, 1<<16); ; {
		if _, err := f.Write(chunk); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// FreeDisk takes back what [Host.FillDisk] took.
func (h *Host) FreeDisk(dir string) error {
	f, err := h.open(path.Join(dir, filler), unix.O_WRONLY|unix.O_TRUNC, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

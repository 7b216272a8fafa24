package testhost

import (
	"fmt"
	"os"
	"path/filepath"
)

// disk is the folder that is the host's root file system, as far as it outlives
// the host's death.
func (h *Host) disk() string { return filepath.Join(h.folder, "disk") }

// writeDisk writes a file of a host that has never run.
func (h *Host) writeDisk(path, content string, mode os.FileMode) error {
	path = filepath.Join(h.disk(), path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// writeAccess writes what every new host has: its names, the test's settings of
// Nix, and the client's key.
func (h *Host) writeAccess(repo string) error {
	settings, err := os.ReadFile(filepath.Join(repo, ".ci/nix/nix.conf"))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"etc/hostname", h.Name + "\n", 0o644},
		{"etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", h.IP, h.Name), 0o644},
		{"etc/nix/nix.conf", string(settings), 0o644},
		{"root/.ssh/authorized_keys", h.net.AuthorizedKey + "\n", 0o600},
	} {
		if err := h.writeDisk(f.path, f.content, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// sshdConfig is the whole configuration of the host's sshd.
func sshdConfig(h *Host) string {
	return fmt.Sprintf(`ListenAddress %s
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
SetEnv PATH=%s
`, h.IP, h.path)
}

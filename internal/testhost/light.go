package testhost

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed light.sh
var lightInit string

// light is the kind of host that is nothing but namespaces.
type light struct{}

func (light) prepare(h *Host) error {
	dir, nix, err := projectNix()
	if err != nil {
		return err
	}
	// The links in bin may lead through another checkout, which the host does not see.
	h.path = "/run/current-system/sw/bin:" + filepath.Dir(nix) + ":" + filepath.Join(dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"
	for dir, mode := range map[string]os.FileMode{
		"nix": 0o755, "home": 0o755, "boot": 0o755, "srv": 0o755, "opt": 0o755, "var/lib": 0o755, "var/log": 0o755, "root": 0o700, "root/.ssh": 0o700,
	} {
		if err := os.MkdirAll(filepath.Join(h.disk(), dir), mode); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"etc/group", "root:x:0:\nwheel:x:1:root\nusers:x:100:\nnogroup:x:65534:\n", 0o644},
		{"etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644},
		{"etc/ssh/sshd_config", sshdConfig(h), 0o644},
	} {
		if err := h.writeDisk(f.path, f.content, f.mode); err != nil {
			return err
		}
	}
	// Debian's awk is a link through /etc, of which the host has its own.
	awk, err := filepath.EvalSymlinks("/usr/bin/awk")
	if err != nil {
		return err
	}
	alternatives := filepath.Join(h.disk(), "etc/alternatives")
	if err := os.MkdirAll(alternatives, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(awk, filepath.Join(alternatives, "awk")); err != nil {
		return err
	}
	repo, err := repository()
	if err != nil {
		return err
	}
	if err := h.writeAccess(repo); err != nil {
		return err
	}
	if err := h.writeUsers(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.folder, "init"), []byte(lightInit), 0o700)
}

func (light) command(h *Host) (*exec.Cmd, error) {
	dir, nix, err := projectNix()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(nix, "/nix/") {
		return nil, fmt.Errorf("the light test hosts have a /nix of their own and cannot use %s: install Debian's nix-bin and run .ci/setup", nix)
	}
	if _, err := tool("sshd"); err != nil {
		return nil, err
	}
	shown := []string{"/usr", filepath.Join(dir, "bin")}
	if unpacked := filepath.Join(dir, "nix"); strings.HasPrefix(nix, unpacked+"/") {
		shown = append(shown, unpacked)
	}
	for _, static := range []string{"/bin/bash-static", "/bin/busybox"} {
		if _, err := os.Stat(static); err != nil {
			return nil, fmt.Errorf("the light test hosts need %s, run .ci/setup", static)
		}
	}
	cmd := exec.Command("/bin/bash-static", append([]string{filepath.Join(h.folder, "init"), h.disk(), h.Name}, shown...)...)
	cmd.Dir = "/"
	cmd.Env = h.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID,
	}
	return cmd, nil
}

func (light) leader(main int) int { return main }

// shutdown asks every process to end, then ends the first one.
func (light) shutdown(h *Host, r *run) error {
	path := filepath.Join(netnsDir, h.netns)
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		pids, err := processes(path)
		if err != nil {
			return err
		}
		if len(pids) <= 1 {
			break
		}
		for _, pid := range pids {
			if pid != r.cmd.Process.Pid {
				_ = unix.Kill(pid, unix.SIGTERM)
			}
		}
	}
	return r.cmd.Process.Kill()
}

func (light) killSSHD(h *Host) error { return h.killByName("sshd", "sshd-session", "sshd-auth") }

func (light) startSSHD(h *Host) error { return h.must("/usr/sbin/sshd") }

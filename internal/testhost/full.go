package testhost

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed full.sh
var fullEntry string

// full is the kind of host that boots a Debian's systemd in systemd-nspawn.
type full struct{}

// prepare lays the host's disk over the Debian that .ci/setup made, which is
// never written to.
func (full) prepare(h *Host) error {
	repo, err := repository()
	if err != nil {
		return err
	}
	if len(h.users) > 0 {
		return errors.New("a full test host has no users besides root")
	}
	h.path = "/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	debian := filepath.Join(repo, ".cache/debian")
	if _, err := os.Stat(filepath.Join(debian, ".done")); err != nil {
		return fmt.Errorf("the full test hosts need %s, run .ci/setup", debian)
	}
	upper, work := filepath.Join(h.folder, "upper"), filepath.Join(h.folder, "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile", debian, upper, work)
	if err := unix.Mount("fleet-testhost", h.disk(), "overlay", 0, layers); err != nil {
		return fmt.Errorf("mounting the disk in %s (it must not lie on an overlay itself, TMPDIR chooses another place): %w", h.folder, err)
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	for _, dir := range []string{"nix", "root/.ssh", "var/log/journal"} { // the last makes the journal outlive a reboot
		if err := os.MkdirAll(filepath.Join(h.disk(), dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(h.disk(), "root/.ssh"), 0o700); err != nil {
		return err
	}
	for _, unit := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "sshd-keygen.service", "systemd-pstore.service", "systemd-ask-password-console.path", "systemd-ask-password-wall.path"} {
		if err := os.Symlink("/dev/null", filepath.Join(h.disk(), "etc/systemd/system", unit)); err != nil {
			return err
		}
	}
	if err := h.writeDisk("etc/machine-id", hex.EncodeToString(id)+"\n", 0o444); err != nil {
		return err
	}
	// A wrong key tried ten times must not lock the driver out.
	sshd := sshdConfig(h) + "PerSourcePenalties no\n"
	if err := h.writeDisk("etc/ssh/sshd_config", sshd, 0o644); err != nil {
		return err
	}
	if err := h.writeAccess(repo); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.folder, "entry"), []byte(fullEntry), 0o700)
}

func (full) command(h *Host) (*exec.Cmd, error) {
	nspawn, err := tool("systemd-nspawn")
	if err != nil {
		return nil, err
	}
	if err := allowInotify(); err != nil {
		return nil, err
	}
	args := []string{filepath.Join(h.folder, "entry")}
	for _, dir := range cgroups(h.netns) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the host's cgroup: %w", err)
		}
		args = append(args, dir)
	}
	args = append(args, "--", nspawn,
		"--boot", "--register=no", "--keep-unit", "--settings=no", "--console=pipe",
		"--network-namespace-path="+filepath.Join(netnsDir, h.netns),
		"--machine="+h.netns, "--hostname="+h.Name, "--directory="+h.disk(),
		// A host may change its network, as a configuration does; it has one of its own.
		"--capability=CAP_NET_ADMIN",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no")
	cmd := exec.Command("/bin/bash-static", args...)
	cmd.Dir = "/"
	// No lock: systemd-nspawn would leave the file of one behind at every power cut.
	cmd.Env = append([]string{"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_LOCK=0"}, h.environment()...)
	return cmd, nil
}

// A systemd and its services take about five inotify instances, which the kernel
// counts together for all hosts of all tests that run: its usual limit of 128 is
// reached by some 28 hosts, and the next systemd ends without a word.
const (
	inotifyLimit = "/proc/sys/fs/inotify/max_user_instances"
	inotifyWant  = 1024
)

// allowInotify raises the machine's limit where it is too low.
func allowInotify() error {
	text, err := os.ReadFile(inotifyLimit)
	if err != nil {
		return fmt.Errorf("looking whether there is room for another systemd: %w", err)
	}
	if limit, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && limit >= inotifyWant {
		return nil
	}
	if err := os.WriteFile(inotifyLimit, []byte(strconv.Itoa(inotifyWant)), 0o644); err != nil {
		return fmt.Errorf("making room for another systemd: %w; run `sysctl fs.inotify.max_user_instances=%d`", err, inotifyWant)
	}
	return nil
}

// cgroups are the folders of a cgroup of this name: one where all is unified,
// two where systemd-nspawn also finds its way through the older hierarchy.
func cgroups(name string) []string {
	if _, err := os.Stat(filepath.Join(cgroupDir, "cgroup.procs")); err == nil {
		return []string{filepath.Join(cgroupDir, name)}
	}
	return []string{filepath.Join(cgroupDir, "systemd", name), filepath.Join(cgroupDir, "unified", name)}
}

// leader is the child of systemd-nspawn that is process 1 of its own namespace.
func (full) leader(main int) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", main, main))
	for child := range strings.FieldsSeq(string(children)) {
		status, _ := os.ReadFile("/proc/" + child + "/status")
		for line := range strings.Lines(string(status)) {
			if ids := strings.Fields(line); ids[0] == "NSpid:" && len(ids) > 2 && ids[len(ids)-1] == "1" {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	return 0
}

// shutdown has systemd-nspawn tell the host's systemd to halt.
func (full) shutdown(_ *Host, r *run) error { return r.cmd.Process.Signal(unix.SIGTERM) }

// noSSHD is the file that keeps Debian's ssh.service from starting.
const noSSHD = "/etc/ssh/sshd_not_to_be_run"

// killSSHD sees to it that systemd does not start sshd again. (Masking the unit
// would not do: it has systemd forget to spare what sessions have started.)
func (full) killSSHD(h *Host) error {
	if err := h.WriteFile(noSSHD, nil, 0o644); err != nil {
		return err
	}
	return h.killByName("sshd", "sshd-session", "sshd-auth")
}

func (full) startSSHD(h *Host) error {
	if err := h.must("rm", "-f", noSSHD); err != nil {
		return err
	}
	return h.must("systemctl", "restart", "ssh.service")
}

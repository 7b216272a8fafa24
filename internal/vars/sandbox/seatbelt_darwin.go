package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// macOS has no namespaces: a script runs among all other processes, and what
// holds it is the profile in profile.go. When the script ends its process group
// is killed. A process that has left the group can outlive it: it holds no way
// out of the profile, and nothing but its processor time, which is limited.
const (
	sandboxExec = "/usr/bin/sandbox-exec"
	// nobody is the user that scripts of root run as.
	nobody = 1<<32 - 2
	// diskBytes is how large the disk in memory is at most; it takes as much as
	// is written to it.
	diskBytes = 512 << 20
	// diskTimeout bounds each step of making and removing it.
	diskTimeout = 30 * time.Second
)

// Sandbox runs scripts by means of sandbox-exec, on a disk in memory that
// belongs to one run of fleet. Memory that macOS swaps out it encrypts.
type Sandbox struct {
	limits Limits
	uid    int
	gid    int
	memory string // where the disk is mounted
	device string
	held   *os.File // its root, locked, so that a leftover can be told from it
	store  []string
}

// New makes the disk. What it is to be closed with gives it back.
func New(env []string, limits Limits) (_ *Sandbox, err error) {
	if _, err := os.Stat(sandboxExec); err != nil {
		return nil, fmt.Errorf("generators run in the sandbox of macOS: %w", err)
	}
	store, err := realPath("/nix/store")
	if err != nil {
		return nil, fmt.Errorf("generators need a Nix store: %w", err)
	}
	if err := keepFiles(); err != nil {
		return nil, err
	}
	s := &Sandbox{limits: limits, uid: os.Geteuid(), gid: os.Getegid(), store: store}
	base := temporaryFolder(env)
	if s.uid == 0 {
		s.uid, s.gid, base = nobody, nobody, "/private/tmp" // where nobody gets to
	}
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return nil, fmt.Errorf("generators need a temporary folder: %w", err)
	}
	sweepDisks(base, time.Now())
	if s.memory, err = os.MkdirTemp(base, workspacePrefix); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	return s, s.mount()
}

// realPath gives a path as the kernel sees it, and as it is written where that
// is another.
func realPath(path string) ([]string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || real == path {
		return []string{path}, err
	}
	return []string{path, real}, nil
}

// temporaryFolder is the one of an environment, of which the last entry counts.
func temporaryFolder(env []string) string {
	folder := "/private/tmp"
	for _, entry := range env {
		if own, ok := strings.CutPrefix(entry, "TMPDIR="); ok && filepath.IsAbs(own) {
			folder = own
		}
	}
	return folder
}

// mount makes a disk in memory, without a place in the Finder, whose root only
// the user of scripts can enter.
func (s *Sandbox) mount() error {
	const sector = 512
	device, err := system("/usr/bin/hdiutil", "attach", "-nomount", fmt.Sprintf("ram://%d", diskBytes/sector))
	if err != nil {
		return fmt.Errorf("make a disk in memory: %w", err)
	}
	if !strings.HasPrefix(device, "/dev/disk") {
		return fmt.Errorf("make a disk in memory: hdiutil says %q", device)
	}
	s.device = device
	// HFS tells no names apart by case unless asked.
	if _, err := system("/sbin/newfs_hfs", "-s", "-v", "fleet", "-U", strconv.Itoa(s.uid), "-G", strconv.Itoa(s.gid), "-M", "700", device); err != nil {
		return fmt.Errorf("make a file system in memory: %w", err)
	}
	if _, err := system("/sbin/mount", "-t", "hfs", "-o", "nobrowse,nodev,nosuid", device, s.memory); err != nil {
		// Where an ordinary user may not mount, the disk arbitration may.
		if _, again := system("/usr/sbin/diskutil", "mount", "nobrowse", "-mountPoint", s.memory, device); again != nil {
			return fmt.Errorf("mount the file system in memory: %w", errors.Join(err, again))
		}
	}
	if mounted, err := isMount(s.memory); err != nil || !mounted {
		return errors.Join(fmt.Errorf("the file system in memory is not at %s", s.memory), err)
	}
	if s.held, err = os.Open(s.memory); err != nil {
		return err
	}
	return flockExclusive(s.held)
}

// Close takes the disk away, with whatever is still on it.
func (s *Sandbox) Close() error {
	if s.held != nil {
		_ = s.held.Close()
		s.held = nil
	}
	if s.device != "" {
		if _, err := system("/usr/bin/hdiutil", "detach", "-force", s.device); err != nil {
			return fmt.Errorf("the disk in memory that scripts had, %s, could not be removed: run `hdiutil detach -force %s`: %w", s.memory, s.device, err)
		}
		s.device = ""
	}
	return os.Remove(s.memory)
}

// sweepDisks takes away the disks that a killed run has left: those that nobody
// holds locked.
func sweepDisks(base string, now time.Time) {
	leftovers, _ := filepath.Glob(filepath.Join(base, workspacePrefix+"*"))
	for _, dir := range leftovers {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < diskTimeout {
			continue // one that is just being made is not locked yet
		}
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		free := flockExclusive(f) == nil
		_ = f.Close()
		if !free {
			continue
		}
		if mounted, err := isMount(dir); err == nil && mounted {
			_, _ = system("/usr/bin/hdiutil", "detach", "-force", dir)
		}
		_ = os.Remove(dir)
	}
}

// isMount tells whether a file system has its root at a folder.
func isMount(dir string) (bool, error) {
	var here, above unix.Stat_t
	if err := errors.Join(unix.Lstat(dir, &here), unix.Lstat(filepath.Dir(dir), &above)); err != nil {
		return false, err
	}
	return here.Dev != above.Dev, nil
}

// system runs a program of macOS and gives what it printed.
func system(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), diskTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// exec runs the script. The reason tells what is wrong with the script, the
// error what is wrong with running it.
func (s *Sandbox) exec(ctx context.Context, j Job, w *workspace, log io.Writer) (reason string, err error) {
	tmp := w.path("tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return "", err
	}
	if s.uid != os.Geteuid() {
		if err := os.Lchown(tmp, s.uid, s.gid); err != nil {
			return "", err
		}
	}
	profile, err := seatbelt{
		store: s.store,
		read:  []string{w.path("in"), w.path("prompts")},
		write: []string{w.path("out"), tmp},
	}.profile()
	if err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, s.limits.Timeout)
	defer cancel()
	// The limits are in blocks of 512 or 1024 bytes and in seconds; outputs are
	// measured again when they are read.
	args := []string{
		"-c", `ulimit -c 0 && ulimit -f "$1" && ulimit -t "$2" && shift 2 && exec "$@"`, "sh",
		strconv.FormatInt(s.limits.FileBytes/512+1, 10), strconv.Itoa(int(s.limits.Timeout/time.Second) + 1),
		sandboxExec, "-p", profile,
	}
	cmd := exec.CommandContext(limited, "/bin/sh", append(args, j.command()...)...)
	cmd.Dir = tmp
	cmd.Env = []string{
		"PATH=/bin", "HOME=" + tmp, "TMPDIR=" + tmp,
		"in=" + w.path("in"), "out=" + w.path("out"), "prompts=" + w.path("prompts"),
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, and a group to kill
	if s.uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}
	}
	kill := func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	waitErr := cmd.Wait()
	_ = kill()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return timedOut(s.limits.Timeout), nil
	case errors.Is(waitErr, exec.ErrWaitDelay):
		return "the script left a process behind that goes on writing to its output", nil
	case errors.As(waitErr, &exit):
		code := exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return exitReason(code, s.limits.FileBytes), nil
	}
	return "", waitErr
}

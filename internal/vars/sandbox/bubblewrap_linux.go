package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crs58/fleet/internal/environ"
)

// The walls, each with a test in bubblewrap_linux_test.go:
//
//   - namespaces of its own for users, processes, network, mounts, IPC, host
//     name and cgroups; no privilege. Of root a user id is used that nobody has:
//     the kernel's switches in /proc/sys and the nodes in /dev belong to root
//     in every namespace;
//   - of files only /nix/store (read-only), $in and $prompts (read-only), $out,
//     and an empty /tmp of limited size;
//   - no variable of the caller, also not in /proc/1/environ: bubblewrap itself
//     gets an empty environment;
//   - no terminal, no input, and no open file that fleet was started with;
//   - a time limit, a limit for each file, no core dumps;
//   - when the script ends everything it has started is killed, and is dead
//     before $out is read.
const (
	sandboxTmpBytes = 256 << 20
	sandboxUser     = "fleet:x:1000:1000:fleet:/tmp:/bin/sh\n"
	sandboxGroup    = "fleet:x:1000:\n"
	sandboxHosts    = "127.0.0.1 localhost\n::1 localhost\n"
)

// Sandbox runs scripts by means of bubblewrap.
type Sandbox struct {
	bwrap, prlimit string
	limits         Limits
	uid            int    // outside; inside it is always 1000
	memory         string // folder on a memory-backed file system
}

// unusedUIDs is the begin of a range that no distribution, container manager or
// systemd uses; it is longer than the largest process id.
const unusedUIDs = 0x7000_0000

// New finds the programs in the PATH of an environment.
func New(env []string, limits Limits) (*Sandbox, error) {
	path := environ.Get(env, "PATH")
	bwrap, err := environ.LookPath(path, "bwrap")
	if err != nil {
		return nil, fmt.Errorf("generators run in bubblewrap, which is not in PATH: install the package bubblewrap: %w", err)
	}
	prlimit, err := environ.LookPath(path, "prlimit")
	if err != nil {
		return nil, fmt.Errorf("generators run with limits set by prlimit, which is not in PATH: install the package util-linux: %w", err)
	}
	if err := keepFiles(); err != nil {
		return nil, err
	}
	uid := os.Geteuid()
	if uid == 0 {
		uid = unusedUIDs + os.Getpid()
	}
	s := &Sandbox{bwrap: bwrap, prlimit: prlimit, limits: limits, uid: uid, memory: "/dev/shm"}
	sweep(s.memory, time.Now())
	return s, nil
}

// Close has nothing to give back.
func (*Sandbox) Close() error { return nil }

// exec runs the script. The reason tells what is wrong with the script, the
// error what is wrong with running it.
func (s *Sandbox) exec(ctx context.Context, j Job, w *workspace, log io.Writer) (reason string, err error) {
	// Both --die-with-parent and Pdeathsig are about the thread that starts the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	limited, cancel := context.WithTimeout(ctx, s.limits.Timeout)
	defer cancel()
	var files fds
	defer files.close()
	args := []string{
		s.bwrap, "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL",
		"--hostname", hostname(j.Host), "--die-with-parent", "--new-session",
		"--clearenv", "--setenv", "PATH", "/bin", "--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp",
		"--setenv", "in", "/in", "--setenv", "out", "/out", "--setenv", "prompts", "/prompts",
		"--size", strconv.Itoa(1 << 20), "--tmpfs", "/",
		"--ro-bind", "/nix/store", "/nix/store",
		"--proc", "/proc",
		"--dev", "/dev", "--size", strconv.Itoa(sandboxTmpBytes), "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
		"--size", strconv.Itoa(sandboxTmpBytes), "--perms", "1777", "--tmpfs", "/tmp",
		"--ro-bind", w.path("in"), "/in", "--ro-bind", w.path("prompts"), "/prompts", "--bind", w.path("out"), "/out",
		"--ro-bind-data", files.data(sandboxUser), "/etc/passwd",
		"--ro-bind-data", files.data(sandboxGroup), "/etc/group",
		"--ro-bind-data", files.data(sandboxHosts), "/etc/hosts",
	}
	if shell := cmp.Or(j.Shell, Interpreter(j.Script)); shell != "" {
		args = append(args, "--symlink", shell, "/bin/sh")
	}
	info, infoFD := files.fromChild()
	start, startFD := files.toChild()
	args = append(args, "--remount-ro", "/", "--chdir", "/tmp", "--info-fd", infoFD, "--block-fd", startFD, "--")
	args = append(args, j.command()...)
	if files.err != nil {
		return "", files.err
	}

	cmd := exec.CommandContext(limited, s.prlimit, append(s.limit(), args...)...)
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = files.child
	// bubblewrap asks for its parent's death to be its own only after a while.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.uid)}
	}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	files.closeChild()
	init, err := admit(info, start)
	if err != nil {
		_ = cmd.Process.Kill()
	}
	waitErr := cmd.Wait()
	if init >= 0 {
		defer unix.Close(init)
		// bubblewrap goes before the first process of the namespace, which
		// goes after all others.
		if err := awaitDeath(init); err != nil {
			return "", err
		}
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return timedOut(s.limits.Timeout), nil
	case err != nil:
		return fmt.Sprintf("the sandbox could not be set up (bubblewrap needs unprivileged user namespaces): %v", err), nil
	case errors.As(waitErr, &exit):
		return exitReason(exit.ExitCode(), s.limits.FileBytes), nil
	}
	return "", waitErr
}

// sweep removes the workspaces that a killed run has left: those that nobody
// holds locked.
func sweep(memory string, now time.Time) {
	leftovers, _ := filepath.Glob(filepath.Join(memory, workspacePrefix+"*"))
	for _, dir := range leftovers {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < 10*time.Second {
			continue // one that is just being made is not locked yet
		}
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		if flockExclusive(f) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

// limit are the arguments of prlimit.
func (s *Sandbox) limit() []string {
	return []string{
		fmt.Sprintf("--fsize=%d", s.limits.FileBytes),
		// One byte and not none: with none the kernel still feeds a core dump
		// to a crash collector.
		"--core=1",
	}
}

// hostname is what the script sees as the name of its host, and what programs
// such as ssh-keygen write into comments.
func hostname(name string) string {
	const longest = 63
	return name[:min(len(name), longest)]
}

// admit gets a handle of the first process of the sandbox while it waits, and
// lets it go; the handle is -1 if there is no such process.
func admit(info io.Reader, start io.WriteCloser) (int, error) {
	defer start.Close()
	var child struct {
		PID int `json:"child-pid"`
	}
	if err := json.NewDecoder(info).Decode(&child); err != nil || child.PID == 0 {
		return -1, errors.New("bubblewrap did not start")
	}
	handle, err := unix.PidfdOpen(child.PID, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd: %w", err)
	}
	_, err = start.Write([]byte{1})
	return handle, err
}

// awaitDeath kills a process and waits until it is gone. The kernel lets the
// first process of a namespace go only when all others have gone.
func awaitDeath(handle int) error {
	_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0)
	end := time.Now().Add(10 * time.Second)
	for {
		fds := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(time.Until(end).Milliseconds()))
		switch {
		case n > 0:
			return nil
		case errors.Is(err, unix.EINTR) && time.Now().Before(end):
		case err != nil:
			return fmt.Errorf("waiting for the end of the sandbox: %w", err)
		default:
			return errors.New("processes of the sandbox could not be killed within 10 seconds")
		}
	}
}

// fds are the files that a child gets, with the ends that stay here.
type fds struct {
	child, own []*os.File
	err        error
}

func (f *fds) pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		f.err = err
	}
	return r, w
}

// give hands a file to the child and tells its number there.
func (f *fds) give(file *os.File) string {
	f.child = append(f.child, file)
	return strconv.Itoa(2 + len(f.child))
}

// data lets the child read a short text.
func (f *fds) data(text string) string {
	r, w := f.pipe()
	if f.err == nil {
		_, f.err = w.WriteString(text) // fits into a pipe
		_ = w.Close()
	}
	return f.give(r)
}

func (f *fds) fromChild() (*os.File, string) {
	r, w := f.pipe()
	f.own = append(f.own, r)
	return r, f.give(w)
}

func (f *fds) toChild() (*os.File, string) {
	r, w := f.pipe()
	f.own = append(f.own, w)
	return w, f.give(r)
}

func (f *fds) closeChild() {
	for _, file := range f.child {
		_ = file.Close()
	}
	f.child = nil
}

func (f *fds) close() {
	f.closeChild()
	for _, file := range f.own {
		_ = file.Close()
	}
}

package testhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errOff = errors.New("the host is off")

// environment is that of commands inside the host.
func (h *Host) environment() []string {
	return []string{"HOME=/root", "USER=root", "LANG=C.UTF-8", "PATH=" + h.path}
}

// Exec runs a command inside the host as root, past sshd, and gives what it said
// and its exit status. The status is -1, and stderr says why, if the command
// could not be run or was ended by ctx or by the host's death.
func (h *Host) Exec(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	pid := h.leader()
	if pid == 0 {
		return "", errOff.Error(), -1
	}
	path, err := tool("nsenter")
	if err != nil {
		return "", err.Error(), -1
	}
	enter := []string{"--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--wd=/", "--"}
	cmd := exec.CommandContext(ctx, path, append(enter, args...)...)
	cmd.Env = h.environment()
	// nsenter forks to enter the process namespace; both are ended together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err = cmd.Start(); err == nil {
		ended := make(chan struct{})
		go goOn(cmd.Process.Pid, ended)
		err = cmd.Wait()
		close(ended)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return out.String(), errOut.String() + err.Error(), -1
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// goOn has nsenter go on whenever it has stopped: it does so itself when its child is
// stopped, as all are for a moment on a host that shuts down.
func goOn(pid int, ended <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "T") {
			_ = unix.Kill(pid, unix.SIGCONT)
		}
	}
}

// must runs a command inside the host that has to succeed.
func (h *Host) must(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if _, stderr, code := h.Exec(ctx, args...); code != 0 {
		return fmt.Errorf("test host %s: %s: exit status %d: %s", h.Name, strings.Join(args, " "), code, strings.TrimSpace(stderr))
	}
	return nil
}

// ReadFile reads a file of the host. Of a host that is off it reads the disk.
func (h *Host) ReadFile(path string) ([]byte, error) {
	f, err := h.open(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteFile writes a file of the host; the folder is there already. On a host
// that is off it writes to the disk.
func (h *Host) WriteFile(path string, content []byte, mode os.FileMode) error {
	f, err := h.open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// Stat says what a path of the host is, following links as the host would.
func (h *Host) Stat(path string) (os.FileInfo, error) {
	f, err := h.open(path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// open opens a path as the host sees it: links lead to where they lead inside.
func (h *Host) open(path string, flags int, mode os.FileMode) (*os.File, error) {
	root := h.disk()
	if pid := h.leader(); pid != 0 {
		root = fmt.Sprintf("/proc/%d/root", pid)
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: h.Name + ":" + path, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{
		Flags: uint64(flags) | unix.O_CLOEXEC, Mode: uint64(mode.Perm()), Resolve: unix.RESOLVE_IN_ROOT,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: h.Name + ":" + path, Err: err}
	}
	return os.NewFile(uintptr(fd), h.Name+":"+path), nil
}

// leader is the id of the host's first process out here, 0 if it is off.
func (h *Host) leader() int {
	h.mu.Lock()
	r := h.up
	h.mu.Unlock()
	if r == nil {
		return 0
	}
	return h.kind.leader(r.cmd.Process.Pid)
}

// killByName kills the host's processes of these names until none is left.
func (h *Host) killByName(names ...string) error {
	return killAll(filepath.Join(netnsDir, h.netns), func(pid int) bool {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // it may be gone already
		return slices.Contains(names, strings.TrimSpace(string(comm)))
	})
}

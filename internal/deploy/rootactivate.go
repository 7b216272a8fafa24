package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"syscall"
	"time"
)

// Activate runs the activation in the folder as if that were the computer: its
// own processes, host name and network, the folder as root, and a session of
// its own, so that neither a Ctrl-C at the terminal nor the end of this process
// reaches it. What it prints goes to a file in the folder, which is kept when
// it fails.
func (t *rootTarget) Activate(ctx context.Context, a Activation) (int, error) {
	dir := path.Join(runDir, a.ID)
	err := t.root.MkdirAll("run", 0o755)
	if err == nil {
		err = t.root.MkdirAll(rel(runDir), 0o700)
	}
	if err != nil {
		return 0, fmt.Errorf("make %s in %s: %w", runDir, t.path, err)
	}
	if err := t.root.Mkdir(rel(dir), 0o700); err != nil {
		return 0, fmt.Errorf("make %s in %s: %w", dir, t.path, err)
	}
	log, err := t.root.Create(rel(path.Join(dir, "log")))
	if err != nil {
		return 0, fmt.Errorf("make the log of the activation in %s: %w", t.path, err)
	}
	defer log.Close()
	if err := t.replace(rel(marker)+".new", rel(marker), []byte(a.Out+"\n")); err != nil {
		return 0, fmt.Errorf("mark the activation in %s: %w", t.path, err)
	}
	cmd := exec.Command(t.bwrap, t.arguments(a)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return 0, fmt.Errorf("activate in %s: bubblewrap (bwrap) is not installed; root: targets need it, and Linux", t.path)
		}
		return 0, fmt.Errorf("start the activation in %s: %w", t.path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = t.follow(ctx, rel(path.Join(dir, "log")), a.Log, ended)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, errors.Join(t.root.RemoveAll(rel(dir)), t.root.Remove(rel(marker)))
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		return 0, fmt.Errorf("the activation in %s was killed: %w", t.path, err)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("the activation in %s has not ended yet, its log is %s: %w", t.path, path.Join(t.path, dir, "log"), ErrUnknown)
	}
	return 0, err
}

// arguments is the command line of bubblewrap. Run by another user than root,
// that user stands for root in the folder.
func (t *rootTarget) arguments(a Activation) []string {
	args := []string{
		"--bind", t.path, "/", "--dev", "/dev", "--proc", "/proc",
		"--unshare-uts", "--unshare-ipc", "--unshare-pid", "--unshare-net",
		// What the activation mounted would be gone with its namespace; so that
		// it puts its secrets into the folder instead, it may not mount.
		"--cap-drop", "CAP_SYS_ADMIN",
		"--clearenv", "--setenv", "HOME", "/root", "--setenv", "NIXOS_NO_SYNC", "1",
		"--setenv", "PATH", a.Out + "/sw/bin:" + currentSystem + "/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"--chdir", "/",
	}
	if os.Geteuid() != 0 {
		args = append(args, "--unshare-user", "--uid", "0", "--gid", "0")
	}
	return append(append(args, "--"), a.command()...)
}

// follow hands on the lines of a growing log until the program that writes it
// ends or ctx does.
func (t *rootTarget) follow(ctx context.Context, name string, line func(string), ended <-chan error) error {
	log, err := t.root.Open(name)
	if err != nil {
		return fmt.Errorf("read the log of the activation: %w", err)
	}
	defer log.Close()
	lines := &lineSplitter{line: line}
	defer lines.flush()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			_, _ = io.Copy(lines, log)
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			_, _ = io.Copy(lines, log)
		}
	}
}

package deploy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runBounded runs a program in a process group of its own, which is ended with ctx.
// One that is root's, behind sudo, may not be ours to end: it is waited for no longer,
// and what it prints from then on is lost.
func runBounded(ctx context.Context, cmd *exec.Cmd) error {
	stdout, stderr := &untilClosed{w: cmp.Or(cmd.Stdout, io.Discard)}, &untilClosed{w: cmp.Or(cmd.Stderr, io.Discard)}
	defer stdout.close()
	defer stderr.close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 2 * killAfter // for what it leaves behind, which is killed before
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	kill := func(s syscall.Signal) {
		if group := -cmd.Process.Pid; errors.Is(syscall.Kill(group, s), syscall.EPERM) {
			name := strings.TrimPrefix(unix.SignalName(s), "SIG")
			_ = exec.Command("sudo", "-n", "--", "kill", "-s", name, "--", strconv.Itoa(group)).Run()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	kill(syscall.SIGTERM)
	gone := func() bool { return errors.Is(syscall.Kill(-cmd.Process.Pid, 0), syscall.ESRCH) }
	for end := time.Now().Add(killAfter); !gone() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	kill(syscall.SIGKILL) // also what outlives the program itself
	select {
	case err := <-ended:
		return cmp.Or(err, ctx.Err())
	case <-time.After(2 * killAfter):
		return ctx.Err()
	}
}

// untilClosed passes on what is written until it is closed.
type untilClosed struct {
	mu sync.Mutex
	w  io.Writer // nil once it is
}

func (u *untilClosed) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.w == nil {
		return 0, io.ErrClosedPipe
	}
	return u.w.Write(p)
}

func (u *untilClosed) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.w = nil
}

// killAfter is the time from SIGTERM to SIGKILL.
const killAfter = 2 * time.Second

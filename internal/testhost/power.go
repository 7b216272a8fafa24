package testhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stopTimeout = 20 * time.Second // for an orderly shutdown, before the power is cut
	killTimeout = time.Minute      // for the kernel to end what was killed
)

// run is one life of a host, from power on to power off or reboot.
type run struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // how cmd ended; to be read after done
}

// Start turns a host on that is off, and returns when sshd answers.
func (h *Host) Start() error {
	h.mu.Lock()
	if h.up != nil {
		h.mu.Unlock()
		return fmt.Errorf("test host %s is already on", h.Name)
	}
	err := h.boot()
	count := h.boots
	h.mu.Unlock()
	if err != nil {
		return fmt.Errorf("test host %s: %w", h.Name, err)
	}
	return h.WaitBoot(context.Background(), count)
}

// Kill cuts the power: every process of the host is killed at once, and the host
// stays off until [Host.Start]. Of a host that is off it asks nothing.
func (h *Host) Kill() {
	h.mu.Lock()
	r := h.up
	h.up = nil
	h.mu.Unlock()
	if r != nil {
		r.kill(h.kind)
	}
}

// Stop shuts the host down in order, or cuts the power if it takes too long.
func (h *Host) Stop() error {
	h.mu.Lock()
	r := h.up
	h.up = nil
	h.mu.Unlock()
	if r == nil {
		return nil
	}
	defer r.kill(h.kind)
	if err := h.kind.shutdown(h, r); err != nil {
		return fmt.Errorf("test host %s: shutting down: %w", h.Name, err)
	}
	select {
	case <-r.done:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("test host %s: it did not shut down in %s, its power was cut", h.Name, stopTimeout)
	}
}

// Boots counts how often the host has been started or has rebooted.
func (h *Host) Boots() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.boots
}

// boot starts the host's main process. The caller holds h.mu.
func (h *Host) boot() error {
	r, err := h.launch()
	if err != nil {
		return err
	}
	h.up, h.ended = r, nil
	h.boots++
	go h.watch(r)
	return nil
}

// watch starts a host again that ended to reboot, and knows one as off that
// ended otherwise.
func (h *Host) watch(r *run) {
	<-r.done
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.up != r {
		return // killed or stopped from out here
	}
	h.up = nil
	if r.rebooting() {
		h.rebootErr = h.boot()
		return
	}
	h.ended = r.err
}

// launch starts the main process in the host's network namespace.
func (h *Host) launch() (*run, error) {
	cmd, err := h.kind.command(h)
	if err != nil {
		return nil, err
	}
	nsenter, err := tool("nsenter")
	if err != nil {
		return nil, err
	}
	// nsenter does not fork here: it becomes the command.
	cmd.Args = append([]string{nsenter, "--net=" + filepath.Join(netnsDir, h.netns), "--", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = nsenter
	console, err := os.OpenFile(h.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	cmd.Stdout, cmd.Stderr = console, console
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C at the test is not one at the host
	r := &run{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is about the parent's thread, not its process: the thread has
		// to live as long as the host.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			r.err = cmd.Wait()
			close(r.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return r, nil
}

// kill ends the run and waits for it.
func (r *run) kill(k kind) {
	select {
	case <-r.done:
		return // its process ids may be others' by now
	default:
	}
	if pid := k.leader(r.cmd.Process.Pid); pid > 0 {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	_ = r.cmd.Process.Kill()
	select {
	case <-r.done:
	case <-time.After(killTimeout): // removing the host will say what does not die
	}
}

// rebooting says whether the run ended because the host asked for a reboot:
// systemd-nspawn exits with 133, the first process of a process namespace dies
// of SIGHUP.
func (r *run) rebooting() bool {
	var exit *exec.ExitError
	if !errors.As(r.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.ExitStatus() == 133 || status.Signaled() && status.Signal() == syscall.SIGHUP)
}

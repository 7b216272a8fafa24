package nix

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

	"github.com/crs58/fleet/internal/environ"
)

// The time from SIGTERM to SIGKILL. An evaluation has nothing to put in order,
// and a busy one does not listen.
const (
	killAfter     = 5 * time.Second
	killEvalAfter = 300 * time.Millisecond
)

// process is one run of nix.
type process struct {
	op      string // for errors
	subject string // for errors
	refs    []string
	args    []string
	onEvent func(Event)
}

// run starts nix, waits for it, and returns its stdout. Every error is an
// *Error, but for a nix that cannot be started.
func (c *CLI) run(ctx context.Context, p process) ([]byte, error) {
	if p.onEvent == nil {
		p.onEvent = c.opts.OnEvent
	}
	program, err := c.find()
	if err != nil {
		return nil, err
	}
	log := &logFile{dir: c.opts.LogDir, op: p.op, header: "$ nix " + strings.Join(p.args, " ")}
	defer log.close()
	errs := newStderr(p.onEvent, log)
	var stdout bytes.Buffer
	runErr := c.start(ctx, program, append(c.flags(), p.args...), &stdout, errs)
	errs.close()
	if runErr == nil {
		return stdout.Bytes(), nil
	}
	e := newError(p.op, p.subject, errs, newLocator(c.opts.Dir, c.opts.Sources, p.refs...))
	e.LogPath = log.path
	if ctx.Err() != nil {
		e.Message, e.Causes = "cancelled: "+context.Cause(ctx).Error(), []error{ctx.Err(), context.Cause(ctx)}
		return nil, e
	}
	if e.Message == "" {
		e.Message = describe(runErr)
	}
	if len(e.Causes) == 0 {
		// An old nix fails in many ways; only now is the question worth a process.
		var old *TooOldError
		if _, err := c.Version(ctx); errors.As(err, &old) {
			e.Causes = append(e.Causes, old)
			e.Message += "; " + old.Error()
		}
	}
	return nil, e
}

// flags hold for every subcommand and precede it.
func (c *CLI) flags() []string {
	return append([]string{
		"--extra-experimental-features", "nix-command flakes",
		"--log-format", "internal-json",
		"--option", "warn-dirty", "false", // an uncommitted tree is the usual one here
		"--option", "accept-flake-config", strconv.FormatBool(c.opts.AcceptFlakeConfig),
	}, c.opts.ExtraArgs...)
}

// start runs the program in a session of its own: a process group that can be
// signalled as one, without a terminal that ssh or git could ask on.
func (c *CLI) start(ctx context.Context, program string, args []string, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = c.opts.Dir, c.env
	cmd.Stdout, cmd.Stderr = stdout, stderr // stdin is /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = killAfter
	evaluates := slices.Contains(args, "eval")
	if evaluates {
		cmd.WaitDelay = killEvalAfter
	}
	dieWithUs(cmd.SysProcAttr, evaluates)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	left := errors.Is(err, exec.ErrWaitDelay) // nix has done its work, and a helper still holds its streams
	if left || ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if left {
		return nil
	}
	return err
}

// describe says how a process ended that said nothing.
func describe(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			if status.Signal() == syscall.SIGKILL {
				return "killed, perhaps because memory ran out"
			}
			return "ended by signal " + status.Signal().String()
		}
		return fmt.Sprintf("failed with exit code %d and no message", exit.ExitCode())
	}
	return err.Error()
}

// find resolves the program once.
func (c *CLI) find() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.program != "" {
		return c.program, nil
	}
	name := c.opts.Program
	if strings.ContainsRune(name, filepath.Separator) {
		if !environ.Executable(name) {
			return "", fmt.Errorf("%w: %s is no program", ErrNixMissing, name)
		}
		c.program = name
		return name, nil
	}
	program, err := environ.LookPath(environ.Get(c.env, "PATH"), name)
	if err != nil {
		return "", fmt.Errorf("%w: %w; install Nix %s or newer from https://nixos.org/download", ErrNixMissing, err, MinVersion)
	}
	c.program = program
	return program, nil
}

// logFile is made when there is something to write.
type logFile struct {
	dir, op, header string

	path   string
	file   *os.File
	failed bool
}

func (l *logFile) Write(p []byte) (int, error) {
	if l.dir == "" || l.failed {
		return len(p), nil
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			l.failed = true // the log is a convenience, the work goes on
			return len(p), nil
		}
	}
	return l.file.Write(p)
}

func (l *logFile) open() (err error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	l.file, err = os.CreateTemp(l.dir, "nix-"+strings.ReplaceAll(l.op, " ", "-")+"-*.log")
	if err != nil {
		return err
	}
	l.path = l.file.Name()
	pruneLogs(l.dir, time.Now().Add(-logsKept))
	_, err = io.WriteString(l.file, l.header+"\n")
	return err
}

// logsKept is how long a log is there to be read.
const logsKept = 14 * 24 * time.Hour

// pruneLogs removes our logs in dir that were last written before a time.
func pruneLogs(dir string, before time.Time) {
	logs, _ := filepath.Glob(filepath.Join(dir, "nix-*.log"))
	for _, log := range logs {
		if info, err := os.Lstat(log); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			_ = os.Remove(log)
		}
	}
}

func (l *logFile) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

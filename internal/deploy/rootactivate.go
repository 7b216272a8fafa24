package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// What an activation leaves in a folder: a folder for the one under way, and the
// marker, which names the system whose activation began and has not succeeded.
const (
	rootRunDir = "/run/fleet"
	rootMarker = rootRunDir + "/activating"
)

// rootGround is a folder in which this process supervises an activation.
type rootGround struct {
	t     *rootTarget
	class flake.Class
	limit time.Duration
	dir   string // of the activation
	log   *os.File
}

// prepare makes the folder that activations leave their traces in.
func (t *rootTarget) prepare(ctx context.Context) error {
	if err := t.create(ctx); err != nil {
		return err
	}
	err := t.root.MkdirAll("run", 0o755)
	if err == nil {
		err = t.root.MkdirAll(rel(rootRunDir), 0o700)
	}
	if err != nil {
		return fmt.Errorf("make %s in %s: %w", rootRunDir, t.path, err)
	}
	return nil
}

// Mark writes the marker.
func (t *rootTarget) Mark(ctx context.Context, system string) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	if err := t.replace(rel(rootMarker)+".new", rel(rootMarker), []byte(system+"\n")); err != nil {
		return fmt.Errorf("mark the activation in %s: %w", t.path, err)
	}
	return nil
}

// Begin runs the activation in the folder as if that were the computer: its
// own processes, host name and network, the folder as root, and a session of
// its own, so that neither a Ctrl-C at the terminal nor the end of this process
// reaches it. What it prints goes to a file in the folder.
func (t *rootTarget) Begin(ctx context.Context, a Activation) error {
	if t.activation.is(a.ID) {
		return nil
	}
	if a.Goal == Reboot {
		return addressOf(t).restartable()
	}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	r := &rootGround{t: t, class: a.Class, limit: a.Limit, dir: rel(path.Join(rootRunDir, a.ID))}
	if _, err := t.root.Lstat(rel(a.Out)); err != nil {
		return fmt.Errorf("activate in %s: %s was not copied there: %w", t.path, a.Out, err)
	}
	if err := t.root.Mkdir(r.dir, 0o700); err != nil {
		return fmt.Errorf("make %s in %s: %w", r.dir, t.path, err)
	}
	var err error
	if r.log, err = t.root.Create(path.Join(r.dir, "log")); err != nil {
		return fmt.Errorf("make the log of the activation in %s: %w", t.path, err)
	}
	if err := t.Mark(ctx, a.Out); err != nil {
		return errors.Join(err, r.log.Close())
	}
	activation := newOwnActivation(a, r) // which notes what runs, before that changes
	var cmd *exec.Cmd
	if a.Goal != Boot {
		cmd, err = r.start(a.Out, string(Test))
	}
	if err != nil {
		return errors.Join(err, r.log.Close(), t.root.RemoveAll(r.dir))
	}
	t.activation = activation
	go activation.supervise(func() int {
		if cmd == nil {
			return 0
		}
		return r.wait(cmd)
	})
	return nil
}

// start begins a program of a system in the folder.
func (r *rootGround) start(system, action string, env ...string) (*exec.Cmd, error) {
	cmd := exec.Command(r.t.bwrap, r.t.arguments(system, program(r.class, system, action), env...)...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if r.t.claim != nil { // whose lock lasts as long as the activation then, also when we are killed
		cmd.ExtraFiles = []*os.File{r.t.claim}
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("activate in %s: bubblewrap (bwrap) is not installed; root: targets need it, and Linux", r.t.path)
		}
		return nil, fmt.Errorf("start the activation in %s: %w", r.t.path, err)
	}
	return cmd, nil
}

// wait gives the exit status of a program, which is killed after the limit.
func (r *rootGround) wait(cmd *exec.Cmd) int {
	timer := time.AfterFunc(r.limit, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	_ = cmd.Wait()
	if !timer.Stop() {
		return codeOverdue
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

func (r *rootGround) apply(system, action string, env ...string) int {
	cmd, err := r.start(system, action, env...)
	if err != nil {
		r.say(err.Error())
		return codeOwn
	}
	return r.wait(cmd)
}

// codeOwn is the status of a program that could not even be started.
const codeOwn = 127

func (r *rootGround) commit(a Activation) error {
	set := r.t.setProfile
	if a.Generation > 0 {
		set = func(string) error { return r.t.switchProfile(generationLink(a.Generation)) }
	}
	if err := set(a.Out); err != nil || a.Class == flake.Darwin {
		return err
	}
	if code := r.apply(a.Out, "boot"); code != 0 {
		return fmt.Errorf("the system could not be made the one that is booted (exit status %d)", code)
	}
	return nil
}

func (r *rootGround) running() string {
	system, _ := r.t.root.Readlink(rel(currentSystem))
	return system
}

func (r *rootGround) generation() string {
	link, _ := r.t.root.Readlink(rel(profile))
	return link
}

func (r *rootGround) halfway() bool {
	info, err := r.t.root.Stat(rel(startList))
	return err == nil && info.Size() > 0
}

func (r *rootGround) switchProfile(link string) error { return r.t.switchProfile(link) }

func (r *rootGround) say(text string) { fmt.Fprintln(r.log, supervisorSays+text) }

func (r *rootGround) end(settled bool) {
	if settled {
		_ = r.t.root.Remove(rel(rootMarker))
	}
	_ = r.log.Close()
}

// arguments is the command line of bubblewrap, with more variables NAME=VALUE in
// the environment. Run by another user than root, that user stands for root in the
// folder.
func (t *rootTarget) arguments(system string, command []string, env ...string) []string {
	args := []string{
		"--bind", t.path, "/", "--dev", "/dev", "--proc", "/proc",
		"--unshare-uts", "--unshare-ipc", "--unshare-pid", "--unshare-net",
		// What the activation mounted would be gone with its namespace; so that
		// it puts its secrets into the folder instead, it may not mount.
		"--cap-drop", "CAP_SYS_ADMIN",
		"--clearenv", "--setenv", "HOME", "/root", "--setenv", "NIXOS_NO_SYNC", "1",
		"--setenv", "PATH", system + "/sw/bin:" + currentSystem + "/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"--chdir", "/",
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		args = append(args, "--setenv", name, value)
	}
	if os.Geteuid() != 0 {
		args = append(args, "--unshare-user", "--uid", "0", "--gid", "0")
	}
	return append(append(args, "--"), command...)
}

// Look reads the log of the activation that this process began; of any other
// nothing is known.
func (t *rootTarget) Look(_ context.Context, id string, last Progress, wait time.Duration) (Progress, error) {
	if !t.activation.is(id) {
		return Progress{Stand: Gone, Code: -1}, nil
	}
	p := t.activation.await(last.Stand, wait) // before the output, so that an end means that all of it is there
	dir := rel(path.Join(rootRunDir, id))
	log, err := t.root.ReadFile(path.Join(dir, "log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Progress{}, fmt.Errorf("read the log of the activation: %w", err)
	}
	at, _ := strconv.Atoi(last.Position)
	p.Output = string(log[min(at, len(log)):])
	p.Position = strconv.Itoa(len(log))
	if p.Stand == Ended {
		if err := t.root.RemoveAll(dir); err != nil {
			return Progress{}, fmt.Errorf("tidy up after the activation: %w", err)
		}
	}
	return p, nil
}

// Decide needs no token: the activation is known to this process alone.
func (t *rootTarget) Decide(_ context.Context, id, _ string, wanted Decision) (Decision, error) {
	if !t.activation.is(id) {
		return undecidedGone, nil
	}
	return t.activation.decide(wanted), nil
}

// Adopt knows the activation of this process alone; of another it says whose it is.
func (t *rootTarget) Adopt(_ context.Context, id string) (Activation, error) {
	if t.activation != nil && (id == "" || t.activation.is(id)) {
		return t.activation.a, nil
	}
	if busy := t.claimed(); busy != nil {
		return Activation{}, fmt.Errorf("%w; it can be followed only where it was begun", busy)
	}
	return Activation{}, fmt.Errorf("%w: a folder does not keep how its activations ended", errNoActivation)
}

// Settle has nothing to settle: see [ownActivation].
func (t *rootTarget) Settle(context.Context) error { return nil }

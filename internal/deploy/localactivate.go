package deploy

import (
	"context"
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

	"github.com/crs58/fleet/internal/flake"
)

// localGround is this computer, on which systems are activated as their owner
// does it by hand: by nixos-rebuild and darwin-rebuild, through sudo, at the
// terminal. They are given the system that is built; nothing is evaluated again.
//
// Two calls of darwin-rebuild are never made, whatever is asked for: check, and
// switch --dry-run. Both activate.
type localGround struct {
	t     *localTarget
	class flake.Class
	limit time.Duration
}

// Begin begins an activation in front of the user.
func (t *localTarget) Begin(ctx context.Context, a Activation) error {
	if t.activation.is(a.ID) {
		return nil
	}
	if a.Goal == Reboot {
		return addressOf(t).restartable()
	}
	if _, err := os.Lstat(a.Out); err != nil {
		return fmt.Errorf("activate on this computer: %w", err)
	}
	// As root, who alone sees what another driver has under way here. It asks for
	// the password, too: a wrong one is not a failed activation.
	before, err := t.inspect(ctx, t.run, "", "")
	if err != nil {
		return err
	}
	if before.Deploy != nil {
		return before.Deploy.busy(t.name)
	}
	if before.System != a.Found {
		return moved(Place{System: a.Found}, Place{System: before.System})
	}
	if err := t.Mark(ctx, a.Out); err != nil {
		return err
	}
	t.failed = append(before.FailedUnits, before.restarting...)
	on := &localGround{t: t, class: a.Class, limit: a.Limit}
	t.activation = newOwnActivation(a, on)
	go t.activation.supervise(func() int {
		if a.Goal == Boot {
			return 0
		}
		return on.apply(a.Out, string(Test))
	})
	return nil
}

// Look knows the activation of this process; another is one that somebody else
// began on this machine.
func (t *localTarget) Look(ctx context.Context, id string, last Progress, wait time.Duration) (Progress, error) {
	if t.activation.is(id) {
		return t.activation.await(last.Stand, wait), nil
	}
	return t.scripted.Look(ctx, id, last, wait)
}

// Decide needs no token for the activation of this process.
func (t *localTarget) Decide(ctx context.Context, id, token string, wanted Decision) (Decision, error) {
	if t.activation.is(id) {
		return t.activation.decide(wanted), nil
	}
	return t.scripted.Decide(ctx, id, token, wanted)
}

// rebuild is the command that has a system of this computer do an action: test
// activates it, boot makes it the newest generation and the one that is booted.
// To switch to a generation that is there already, which nixos-rebuild would make
// another of, the system's own program is called.
func rebuild(class flake.Class, system, action string) []string {
	if class == flake.Darwin {
		if tool := system + "/sw/bin/darwin-rebuild"; isFile(tool) {
			return []string{tool, "activate"} // the system that the program lies in
		}
		return program(class, system, action)
	}
	if tool := system + "/sw/bin/nixos-rebuild"; action != string(Switch) && isFile(tool) && takesStorePath(system) {
		return []string{tool, action, "--no-reexec", "--store-path", system}
	}
	return program(class, system, action) // what nixos-rebuild itself would run
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// takesStorePath tells whether a system's nixos-rebuild can be given a system that
// is built. That is so from NixOS 26.05 on; its pre-releases may lack it.
func takesStorePath(system string) bool {
	text, err := os.ReadFile(system + "/nixos-version")
	if err != nil {
		return false
	}
	year, rest, _ := strings.Cut(string(text), ".")
	month := rest[:min(2, len(rest))]
	y, err1 := strconv.Atoi(year)
	m, err2 := strconv.Atoi(month)
	if err1 != nil || err2 != nil {
		return false
	}
	return y > 26 || y == 26 && (m > 5 || m == 5 && !strings.HasPrefix(rest[len(month):], "pre"))
}

// setProfile is the command that leads the system profile to a system.
func setProfile(what ...string) []string {
	return append([]string{"nix-env", "--profile", profile}, what...)
}

func (g *localGround) apply(system, action string, env ...string) int {
	command := rebuild(g.class, system, action)
	if len(env) > 0 {
		command = slices.Concat([]string{"env"}, env, command)
	}
	return g.run(command)
}

func (g *localGround) commit(a Activation) error {
	what := []string{"--set", a.Out}
	if a.Generation > 0 {
		what = []string{"--switch-generation", strconv.Itoa(a.Generation)}
	}
	boot := rebuild(a.Class, a.Out, "boot")
	switch {
	case a.Class == flake.Darwin:
		boot = nil
	case a.Generation == 0 && filepath.Base(boot[0]) == "nixos-rebuild": // which sets the profile too
		what = nil
	default:
		boot = program(a.Class, a.Out, "boot")
	}
	if what != nil {
		if code := g.run(setProfile(what...)); code != 0 {
			return fmt.Errorf("the system profile could not be set (exit status %d)", code)
		}
	}
	if boot != nil {
		if code := g.run(boot); code != 0 {
			return fmt.Errorf("the system could not be made the one that is booted (exit status %d)", code)
		}
	}
	return nil
}

func (g *localGround) running() string {
	system, _ := os.Readlink(currentSystem)
	return system
}

func (g *localGround) generation() string {
	link, _ := os.Readlink(profile)
	return link
}

func (g *localGround) halfway() bool {
	info, err := os.Stat(startList)
	return err == nil && info.Size() > 0
}

func (g *localGround) switchProfile(generation string) error {
	if code := g.run(setProfile("--switch-generation", strconv.Itoa(generationNumber(generation)))); code != 0 {
		return fmt.Errorf("the system profile could not be led back (exit status %d)", code)
	}
	return nil
}

// say tells the user, at whose terminal all of it runs.
func (g *localGround) say(text string) {
	_ = g.t.terminal(func(_ io.Reader, out io.Writer) error {
		_, err := fmt.Fprintln(out, supervisorSays+text)
		return err
	})
}

func (g *localGround) end(settled bool) {
	if !settled {
		return
	}
	if err := g.t.Mark(context.Background(), ""); err != nil {
		g.say(err.Error())
	}
}

// run runs a command as root, at the terminal, and gives its exit status. It
// belongs to the terminal's foreground, so that it can ask for something there;
// a Ctrl-C or the end of the terminal must not cut an activation in half, and do
// not reach it.
func (g *localGround) run(command []string) int {
	command = append([]string{"/bin/sh", "-c", `trap "" INT HUP; ` + searchPath + `exec "$@"`, "fleet"}, command...)
	if !g.t.root {
		command = append([]string{"sudo", "-H", "--"}, command...)
	}
	code := codeOwn
	_ = g.t.terminal(func(in io.Reader, out io.Writer) error {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
		cmd.WaitDelay = killAfter // for what it leaves behind
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(out, supervisorSays+err.Error())
			return nil
		}
		code = g.wait(cmd)
		return nil
	})
	return code
}

// wait gives the exit status of a program, which is ended after the limit.
func (g *localGround) wait(cmd *exec.Cmd) int {
	overdue := time.AfterFunc(g.limit, func() { g.kill(cmd.Process, "TERM") })
	last := time.AfterFunc(g.limit+killAfter, func() { g.kill(cmd.Process, "KILL") })
	_ = cmd.Wait()
	last.Stop()
	if !overdue.Stop() {
		return codeOverdue
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// kill signals a process that may be root's: sudo, which passes it on.
func (g *localGround) kill(p *os.Process, signal string) {
	command := []string{"kill", "-s", signal, strconv.Itoa(p.Pid)}
	if !g.t.root {
		command = append([]string{"sudo", "-n", "--"}, command...)
	}
	_ = exec.Command(command[0], command[1:]...).Run()
}
